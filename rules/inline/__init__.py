"""The shipped rules without a Prometheus that runs them: a recorded name becomes its rule's expression, down to what
engines and exporters give themselves."""

"""P25: requests fail. Nothing here changes a knob: an error must be understood first."""

from recommender.playbooks.base import advising

PLAYBOOKS = (
    advising(
        "P25.1",
        "Take back the last change",
        "If a roll-out of the engine, its model, its configuration or the gateway began within the last two hours, "
        "roll it back first and look for the reason afterwards.",
    ),
    advising(
        "P25.2",
        "Sort the errors by kind and by replica",
        "One replica: drain it and read its log (out of device memory, a lost GPU, a crashed worker). All replicas: "
        "look at what they share, such as the model, a request that the engine cannot serve, or the gateway. Prompts "
        "that are too long are an error of the caller or a context length that is set too small.",
    ),
    advising(
        "P25.3",
        "Do not raise a queue limit to stop rejections",
        "Requests that are turned away show that the service is full: find out why they wait (KV cache, batch limit, "
        "prefill) or add replicas. A longer queue only turns a quick refusal into a late answer.",
    ),
)

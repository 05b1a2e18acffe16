"""The exporter's HTTP server: TLS, passwords and headers by the Prometheus web-config convention."""

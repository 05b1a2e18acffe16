"""Black-box probing: asks an OpenAI-compatible endpoint for a few tokens and measures the answer.

For endpoints that expose no metrics, and to see latency as a client does. Off unless configured.
"""

"""One base, every tenant its own adapter, over HTTP: OpenAI's, llama-server's and vLLM's dialects."""

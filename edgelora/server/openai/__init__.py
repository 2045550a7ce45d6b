"""OpenAI's dialect. Source: the reference at platform.openai.com/docs/api-reference."""

"""llama-server's dialect. Source: tools/server/README.md of llama.cpp."""

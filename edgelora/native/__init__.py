"""libllama and libggml through ctypes: validated before every call, silent on the terminal."""

from __future__ import annotations

import pytest

from edgelora.native.blas import THREADS, numpys_blas, one_blas_thread


def test_products_stay_on_one_thread_and_only_meanwhile() -> None:
    library = numpys_blas()
    names = next((pair for pair in THREADS if hasattr(library, pair[0])), None)
    if names is None:
        pytest.skip("numpy uses another BLAS")
    threads, set_threads = (getattr(library, name) for name in names)
    before = threads()
    set_threads(2)
    try:
        with one_blas_thread():
            assert threads() == 1
        assert threads() == 2
    finally:
        set_threads(before)

"""What happens where torch and transformers are missing: the only tests here that run then."""

import subprocess
import sys

import pytest

from tests.users.conftest import MISSING


@pytest.mark.skipif(bool(MISSING), reason=f"{' and '.join(MISSING)} missing: run make users")
def test_torch_and_transformers_are_there():
    """Skipped with the reason why the other tests of this folder are not even collected."""
    assert not MISSING


def test_the_adapter_says_what_to_install():
    code = "import sys; sys.modules['torch'] = None; import kvring.adapters.transformers"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "ImportError: kvring.adapters.transformers needs torch and transformers" in done.stderr
    assert "use pip install torch, then pip install '.[transformers]' in a checkout" in done.stderr


def test_nothing_of_another_library_is_loaded_unasked():
    code = "import sys, kvring.adapters; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)

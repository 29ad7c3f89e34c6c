"""Debian's Linux 6.1 with cgroup v2, as users have it: kernels die there and are told right."""

import pytest
from smoke import judge, smoke


@pytest.mark.long
@pytest.mark.needs_qemu
@pytest.mark.timeout(1800)
def test_what_users_have_is_told_right() -> None:
    assert judge(smoke(None, captures=False)) == []

"""Law 1: tokens get consecutive positions; only truncate, reset and replace take them back."""

import pytest

from kvring import Append, Circular, Replace
from tests.by_hand import fed, feed, make, shown


@pytest.mark.parametrize("mode", [Append(20), Circular(3), Circular(3, 2, 1)], ids=str)
def test_positions_go_on_from_chunk_to_chunk_and_never_wrap(mode):
    cache = make(mode)
    for tokens, newest in ((1, 0), (3, 3), (2, 5), (5, 10)):
        view = feed(cache, tokens)
        assert view.positions[-1] == newest
        assert cache.seq_len == newest + 1


@pytest.mark.parametrize("mode", [Append(20), Circular(3, 2, 1)], ids=str)
def test_after_truncate_the_next_token_gets_the_position_that_was_dropped(mode):
    cache = fed(mode, 9)
    cache.truncate(8)
    assert feed(cache, 1).positions[-1] == 8


@pytest.mark.parametrize("mode", [Append(20), Circular(3, 2, 1), Replace(4)], ids=str)
def test_after_reset_positions_start_at_0(mode):
    cache = make(mode)
    feed(cache, 3)
    cache.reset()
    assert cache.seq_len == 0
    assert shown(feed(cache, 1)) == [0]


def test_in_replace_mode_every_update_starts_at_0():
    cache = make(Replace(4))
    for tokens in (3, 1, 4):
        start = int(cache.seq_lens[0, 0])
        view = feed(cache, tokens)
        assert view.positions.tolist() == list(range(tokens)), f"after {start} tokens"

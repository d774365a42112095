"""The demo tells its whole story around the real daemon, faster, and loses nothing."""

import io

from ftwatch.simulator.demo import demo


async def test_the_story_ends_well() -> None:
    out = io.StringIO()
    code = await demo(keep=False, seconds=45, out=out)
    told = out.getvalue()
    assert code == 0, told
    assert "lost                0" in told
    assert "transitions         24" in told
    for line in ("killed with SIGKILL", "The network is back", "night-run succeeded", "translator is paused"):
        assert line in told
    assert max(map(len, told.splitlines())) <= 100
    assert "\x1b" not in told, "no colours in a file"

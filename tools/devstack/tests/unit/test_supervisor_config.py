import configparser
import json
import stat
from pathlib import Path

from devstack.host.layout import Layout
from devstack.native import supervisor_config
from devstack.native.supervisor_config import Program


def _layout(tmp_path: Path) -> Layout:
    layout = Layout(tmp_path / "100% mine", tmp_path / "home")
    layout.prepare()
    return layout


def _config(layout: Layout) -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser()
    listed = [Program(name, ["x"], {"SECRET": "s"}, layout.home) for name in ("one", "two")]
    parser.read_string(supervisor_config.supervisor_config(listed, layout))
    return parser


def test_the_socket_path_is_short_whatever_the_checkout(tmp_path: Path) -> None:
    deep = Layout(tmp_path / ("x" * 200), tmp_path / ("y" * 200))
    socket = _config(deep)["unix_http_server"]["file"]
    assert len(socket) + len(".4194304") < 108  # supervisor binds a name with its pid first


def test_every_log_rotates(tmp_path: Path) -> None:
    config = _config(_layout(tmp_path))
    for section in ("program:one", "program:two"):
        assert config[section]["stdout_logfile_maxbytes"] == "5MB"
        assert config[section]["stdout_logfile_backups"] == "2"
    assert config["supervisord"]["logfile_maxbytes"] == "1MB"


def test_a_percent_sign_in_the_path_survives(tmp_path: Path) -> None:
    assert "100%% mine/venv/bin/python" in _config(_layout(tmp_path))["program:one"]["command"]


def test_environments_are_in_a_file_for_this_user_only(tmp_path: Path) -> None:
    layout = _layout(tmp_path)
    supervisor_config.write([Program("one", ["x"], {"SECRET": "s"}, layout.home)], layout)
    file = layout.run / "programs.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert json.loads(file.read_text())["one"]["env"] == {"SECRET": "s"}
    assert "SECRET" not in (layout.home / "supervisord.conf").read_text()

"""The stylesheet: one set of rules, and two palettes chosen by the notebook's theme or else the system's."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

__all__ = ["PREFIX", "stylesheet"]

PREFIX = "ragdiag"
"""What every class of a report begins with."""

_LIGHT = {
    "surface": "#ffffff",
    "soft": "#f5f7f9",
    "line": "#dde3e9",
    "ink": "#1c2127",
    "muted": "#57606a",
    "kept": "#d3dce6",
    "loss": "#d98074",
    "worst": "#bf3525",
    "worst-soft": "#fdf1ef",
    "rescue": "#1f7a4a",
    "mark": "#ffedb0",
    "cut": "#bf3525",
    "focus": "#0b63ce",
}
_DARK = {
    "surface": "#14181d",
    "soft": "#1c2229",
    "line": "#313943",
    "ink": "#e6eaef",
    "muted": "#a0abb8",
    "kept": "#3a4552",
    "loss": "#a85a50",
    "worst": "#f0796a",
    "worst-soft": "#2c1e1e",
    "rescue": "#55b883",
    "mark": "#5c4a12",
    "cut": "#f0796a",
    "focus": "#6cb0ff",
}

_REPORT = f".{PREFIX}-report"
# Later rules win: a notebook's own theme counts more than the system's. A page that says that it is light
# must not turn dark because the system is.
_DARK_THEMES = (f'[data-jp-theme-light="false"] {_REPORT}', f"body.vscode-dark {_REPORT}")
_LIGHT_THEMES = (f'[data-jp-theme-light="true"] {_REPORT}', f"body.vscode-light {_REPORT}")


@cache
def stylesheet() -> str:
    """The rules of a report, all of them below its own class."""
    rules = files("ragdiag.report.html").joinpath("style.css").read_text(encoding="utf-8")
    light, dark = _palette(_LIGHT, "light"), _palette(_DARK, "dark")
    return "\n".join(
        [
            f"{_REPORT} {light}",
            f"@media (prefers-color-scheme: dark) {{ {_REPORT} {dark} }}",
            f"{', '.join(_LIGHT_THEMES)} {light}",
            f"{', '.join(_DARK_THEMES)} {dark}",
            rules,
        ]
    )


def _palette(colors: dict[str, str], scheme: str) -> str:
    variables = "".join(f" --{PREFIX}-{name}: {color};" for name, color in colors.items())
    return f"{{ color-scheme: {scheme};{variables} }}"

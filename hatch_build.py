"""The build's own step: the dashboard goes into every wheel and every sdist.

A bundle that is current is taken as it is, so that an sdist, which has one, needs no Node. Where it
can't be built, a wheel or sdist fails; an editable install goes on, and the server says at `/` what
is missing.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

sys.path.insert(0, str(Path(__file__).parent / "dashboard"))
import bundle


class DashboardHook(BuildHookInterface[Any]):
    """Builds the bundle before its files are collected."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """Node, if there is something to build."""
        return [] if bundle.is_current() else [bundle.NODE]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002
        """Build what isn't current."""
        if bundle.is_current():
            return
        self.app.display_info("building the dashboard")
        try:
            bundle.build()
        except bundle.BundleError as error:
            if version != "editable":
                raise
            bundle.give_up(str(error))
            self.app.display_warning(f"installing without the dashboard: {error}")

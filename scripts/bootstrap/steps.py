"""The four steps that make an environment or bring it up to date."""

from __future__ import annotations

import math
import os
import sys
import tomllib
from dataclasses import dataclass
from typing import Any

from bootstrap import backend, checks
from bootstrap.environment import Environment, Settings, Target
from bootstrap.errors import SetupError
from bootstrap.packages import COMPILER, missing_message
from bootstrap.pip import Pip
from bootstrap.process import run_logged

STEPS = 4
LLAMA = "llama-cpp-python"
COMPILE_CORE_MINUTES = 8  # for the CPU


@dataclass(frozen=True)
class Steps:
    """What brings `environment` from its `known` settings, if any, to the `wanted` ones."""

    environment: Environment
    target: Target
    wanted: Settings
    known: Settings | None
    pip: Pip

    def run(self) -> None:
        """All steps; the stamp is put on at the end. An environment without a stamp is made from nothing."""
        backend.check_platform(self.wanted.backend)
        whole = self.environment.is_whole()
        self._announce(whole)
        self.environment.log.write_bytes(b"")
        compiler = self._check_machine()
        self._prepare_folder(whole, compiler)
        self.environment.begin(self.wanted)
        self._install_llama()
        self._install_rest()
        self.environment.finish()

    def _announce(self, whole: bool) -> None:
        folder = self.environment.folder
        if whole:
            self.pip.report.say(f"edgelora brings its environment {folder} up to date.")
            return
        self.pip.report.say(
            f"edgelora sets up its environment in {folder}, once. About {self._minutes()} minutes where "
            f"{LLAMA} must be compiled, under 2 where pip finds it ready. Log: {self.environment.log}"
        )

    def _minutes(self) -> int:
        more = 1 if self.wanted.backend in ("cpu", "metal") else 4
        return 1 + more * math.ceil(COMPILE_CORE_MINUTES / (os.cpu_count() or 1))

    def _check_machine(self) -> str | None:
        report = self.pip.report
        report.step("checks")
        compiler = checks.compiler()
        needs = checks.missing_python_parts() + backend.missing_tools(self.wanted.backend)
        if needs:
            raise SetupError(missing_message(needs if compiler else [*needs, COMPILER]))
        free = checks.check_disk(self.environment.folder, self.target.disk_gb)
        report.done(f"Python {checks.python_version()}, compiler {compiler or 'none'}, {free:.0f} GB free")
        return compiler

    def _prepare_folder(self, whole: bool, compiler: str | None) -> None:
        self.pip.report.step("environment and package index")
        if not whole:
            self._make_folder()
        project = self._project()
        self.pip.check_index(project["build-system"]["requires"][0])
        if not compiler and not self.pip.has_wheel(_llama_requirement(project)):
            raise SetupError(missing_message([COMPILER]))
        self.pip.report.done("both there")

    def _make_folder(self) -> None:
        environment = self.environment
        environment.begin(self.wanted)
        environment.empty()
        command = [sys.executable, "-m", "venv", str(environment.folder)]
        code, output = run_logged(command, os.environ, environment.log, self.pip.report, self.pip.lock)
        if code != 0:
            raise SetupError(f"python -m venv did not succeed:\n{output.strip()}")

    def _install_llama(self) -> None:
        name = self.wanted.backend
        build = backend.build_for(name)
        rebuild = self.known is not None and self.known.backend != name
        options = ["-v", "--no-deps", *(["--force-reinstall"] if rebuild else []), *self._cache(build)]
        requirement = _llama_requirement(self._project())
        self.pip.report.step(f"{LLAMA} for {name}")
        self._install_build(options, requirement, build)
        if not backend.is_built(self.environment.folder, build):
            # A ready wheel was built for something else.
            self._install_build([*options, "--force-reinstall", "--no-binary", LLAMA], requirement, build)
        if not backend.is_built(self.environment.folder, build):
            raise SetupError(f"{LLAMA} was built, but without {name}; see {self.environment.log}.")
        self.pip.report.done("installed")

    def _install_build(self, options: list[str], requirement: str, build: backend.Build) -> None:
        try:
            self.pip.install(*options, requirement, variables=build.environment)
        except SetupError as error:
            if build.library is None:
                raise
            plain = backend.default_backend()
            raise SetupError(f"{error}\nOr do without it: scripts/edgelora --backend {plain} COMMAND") from None

    def _cache(self, build: backend.Build) -> list[str]:
        folder = self.pip.cache_folder() if build.own_cache else None
        return ["--cache-dir", str(folder / build.own_cache)] if folder and build.own_cache else []

    def _install_rest(self) -> None:
        extras = f"[{','.join(self.wanted.extras)}]" if self.wanted.extras else ""
        self.pip.report.step("the other packages")
        self.pip.install("--editable", f"{self.environment.root}{extras}")
        self.pip.report.done("installed")

    def _project(self) -> dict[str, Any]:
        return tomllib.loads((self.environment.root / "pyproject.toml").read_text(encoding="utf-8"))


def _llama_requirement(project: dict[str, Any]) -> str:
    return next(str(item) for item in project["project"]["dependencies"] if item.startswith(LLAMA))

# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The groups of scripts/test: what each runs, one small function a group. Each returns counts and writes all else to its log."""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Callable, Iterator, Sequence

from . import engine, machine, report, venvs, vm
from .report import NotRun, Outcome
from .shell import CACHE, HOME, INSTANCE, LOGS, ROOT, SetupError, as_root, environment, output, run

COLLECTION = Path("ansible_collections", "palisade", "netfilter")
SUITES = ("bullseye", "bookworm", "trixie")
"""Debian releases of the test machines: iptables 1.8.7, 1.8.9 and 1.8.11."""

SHELLS_AND_AWKS = ["bash", "busybox", "mawk", "gawk", "original-awk"]
"""What the scripts left on a host are run by, one after the other."""

KERNEL_PACKAGES = [
    "openssh-server", "openssh-client", "iptables", "nftables", "ipset", "iproute2", "procps", "kmod", "util-linux", "dpkg-dev",
    "nfacct", "nfct", "systemd", *SHELLS_AND_AWKS,
]
NEEDS_ANSIBLE = ("controller", "plugins/action", "plugins/filter", "plugins/plugin_utils")
"""Folders of tests/unit about code that runs on the controller only, so not on the oldest Python of a target."""


class Bench:
    """A virtual environment to work in, a home of its own, a log."""

    def __init__(self, log: IO[str]) -> None:
        self.log = log
        self.venv = venvs.tools(log)
        HOME.mkdir(parents=True, exist_ok=True)
        path = os.pathsep.join([str(self.venv / "bin"), os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
        self.env = environment(HOME=str(HOME), PATH=path, ANSIBLE_HOME=str(HOME / ".ansible"), VIRTUAL_ENV=str(self.venv))

    @property
    def python(self) -> str:
        return str(self.venv / "bin" / "python")

    def run(self, *argv: str, cwd: Path = ROOT, env: dict[str, str] | None = None) -> bool:
        return self.status(*argv, cwd=cwd, env=env) == 0

    def status(self, *argv: str, cwd: Path = ROOT, env: dict[str, str] | None = None) -> int:
        program = shutil.which(argv[0], path=self.env["PATH"]) or argv[0]
        return run([program, *argv[1:]], self.log, env={**self.env, **(env or {})}, cwd=cwd)


def lint(log: IO[str]) -> Outcome:
    """Everything that reads the code without running it, and the way from a checkout to an installed collection."""
    machine.install_packages(["git", "shellcheck"], log)
    bench = Bench(log)
    code = [folder for folder in ("plugins/modules", "plugins/module_utils") if (ROOT / folder).is_dir()]
    checks: dict[str, list[str]] = {
        "ruff": ["ruff", "check", "--no-cache", "."],
        "mypy": ["mypy", "--cache-dir", str(CACHE / "mypy"), *_typed_folders()],
        "yamllint": ["yamllint", "--strict", "."],
        "ansible-lint": ["ansible-lint", "--offline", "--profile", "production"],
        "shellcheck": ["shellcheck", *_shell_scripts()],
        "reuse": ["reuse", "lint"],
        "vermin": ["vermin", "--violations", "--no-tips", "--target=3.8-", *code],
        "antsibull-changelog": ["antsibull-changelog", "lint"],
    }
    outcome = Outcome()
    for name, argv in checks.items():
        outcome += report.check(f"lint: {name}", bench.run(*argv))
    return outcome + _documentation(bench) + _artefact(bench) + _short_name(bench)


def _documentation(bench: Bench) -> Outcome:
    """Read the pages of modules and roles on a copy: antsibull-docs walks all there is, the virtual environment too."""
    with _copied() as copy:
        read = bench.run("antsibull-docs", "lint-collection-docs", "--plugin-docs", str(copy))
    return report.check("lint: antsibull-docs", read)


@contextmanager
def _copied() -> Iterator[Path]:
    """Give a copy of the checkout, less hidden files, in a tree of collections and outside of any git repository.

    Inside of one, ansible-test would look at what git tracks, and that is nothing of the copy.
    """
    with tempfile.TemporaryDirectory(prefix="palisade-") as folder:
        copy = Path(folder) / COLLECTION
        shutil.copytree(ROOT, copy, symlinks=True, ignore=shutil.ignore_patterns(".*", "__pycache__", "*.tar.gz", "output"))
        yield copy


def _typed_folders() -> list[str]:
    inside = Path(".collections") / COLLECTION
    folders = [*(inside / part for part in ("plugins", "tests", "molecule")), Path("scripts/devkit")]
    return [str(folder) for folder in folders if any((ROOT / folder).rglob("*.py"))]


def _shell_scripts() -> list[str]:
    candidates = [*machine.tree(".sh", ""), ROOT / ".ci" / "run"]
    return sorted({str(path.relative_to(ROOT)) for path in candidates if _is_shell_script(path)})


def _is_shell_script(path: Path) -> bool:
    with path.open("rb") as file:
        return bool(re.match(rb"#!.*\b(ba|da)?sh\b", file.readline(200)))


def _artefact(bench: Bench) -> Outcome:
    """Build, look at the artefact as Galaxy would, install it, and read the modules' pages there by their full names."""
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        config = Path(folder, "ansible.cfg")
        config.touch()
        place = {"ANSIBLE_COLLECTIONS_PATH": folder, "ANSIBLE_CONFIG": str(config)}
        built = bench.run("ansible-galaxy", "collection", "build", "--output-path", folder)
        artefact = next((str(path) for path in Path(folder).glob("*.tar.gz")), "missing.tar.gz")
        imported = built and _galaxy_importer(bench, artefact, Path(folder))
        installed = built and bench.run("ansible-galaxy", "collection", "install", "--offline", "-p", folder, artefact, env=place)
        outcome = report.check("lint: collection build", built) + report.check("lint: collection install", installed)
        outcome += report.check("lint: galaxy-importer", imported)
        for module in _modules():
            name = f"palisade.netfilter.{module}"
            found = bench.run("ansible-doc", "--type", "module", name, cwd=Path(folder), env=place)
            outcome += report.check(f"lint: {name} from the artefact", found)
    return outcome


def _galaxy_importer(bench: Bench, artefact: str, folder: Path) -> bool:
    config = folder / "galaxy-importer.cfg"
    config.write_text("[galaxy-importer]\nRUN_ANSIBLE_TEST = False\nCHECK_REQUIRED_TAGS = True\nCHECK_CHANGELOG = False\n")
    return bench.run("python", "-m", "galaxy_importer.main", artefact, cwd=folder, env={"GALAXY_IMPORTER_CONFIG": str(config)})


def _short_name(bench: Bench) -> Outcome:
    """A module's short name means the checkout's module there."""
    outcome = Outcome()
    for module in _modules():
        found = bench.run("ansible-doc", "--type", "module", module)
        outcome += report.check(f"lint: short name {module} from the checkout", found)
    return outcome


def _modules() -> list[str]:
    return sorted(path.stem for path in (ROOT / "plugins" / "modules").glob("*.py") if path.stem != "__init__")


def sanity(log: IO[str]) -> Outcome:
    """Run ``ansible-test sanity`` on a copy in the place that it wants, without ignore files."""
    bench = Bench(log)
    _bring_own_pip(bench)
    old = machine.oldest_target_python()
    with _copied() as copy:
        outcome = _sanity(bench, copy, machine.version_of(bench.python) or "")
        if old is not None:
            version, python = old
            outcome += _sanity(bench, copy, version, "--test", "compile", "--test", "import", path=str(Path(python).parent))
    return outcome


def _sanity(bench: Bench, copy: Path, version: str, *options: str, path: str = "") -> Outcome:
    begin = Path(bench.log.name).stat().st_size
    env = {"PATH": bench.env["PATH"].replace(os.pathsep, f"{os.pathsep}{path}{os.pathsep}", 1)} if path else {}
    argv = ["ansible-test", "sanity", "--local", "--requirements", "--python", version, "--color", "no", *options]
    status = bench.status(*argv, cwd=copy, env=env)
    with Path(bench.log.name).open(errors="replace") as log:
        log.seek(begin)
        text = log.read()
    bench.log.write("".join(f"{line}\n" for line in text.splitlines() if line.startswith("ERROR: ")))
    return report.from_sanity(text, status)


OWN_PIP = '''\
"""Stands in for the pip bootstrap that ansible-test would download: the Python's own copy, then the wanted version."""
import subprocess
import sys

subprocess.check_call([sys.executable, "-m", "ensurepip"])
wanted = [word for word in sys.argv[1:] if word not in ("--no-setuptools", "--no-wheel")]
subprocess.check_call([sys.executable, "-m", "pip", "install", *wanted])
'''


def _bring_own_pip(bench: Bench) -> None:
    """Put a pip bootstrap where ansible-test would cache its own, so that only the package index has to be reached."""
    where = "import ansible_test._internal.python_requirements as module; print(module.__file__)"
    source = output([bench.python, "-c", where])
    if source is None:
        raise SetupError("ansible-test is not in the virtual environment")
    cache = HOME / ".ansible" / "test" / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    for version in re.findall(r"\bpip='([\d.]+)'", Path(source.strip()).read_text()):
        (cache / f"get_pip_{version.replace('.', '_')}.py").write_text(OWN_PIP)


def unit(log: IO[str]) -> Outcome:
    """Pure code, on the controller's Python and on the oldest that a managed host may have."""
    machine.install_packages(["netbase", *SHELLS_AND_AWKS, "openssh-client"], log)
    bench = Bench(log)
    outcome = _pytest(bench, "unit", [bench.python], "tests/unit")
    old = machine.oldest_target_python()
    wanted = machine.TARGET_PYTHONS[0]
    if old is None or old[0] != wanted:
        instead = f"{old[0]} was used" if old else "only the controller's was used"
        outcome += Outcome(not_run=(NotRun(f"unit on Python {wanted}", f"none found, {instead}", excused=True),))
    if old is None:
        return outcome
    version, python = old
    venv = venvs.oldest(python, log)
    ignored = [f"--ignore=tests/unit/{folder}" for folder in NEEDS_ANSIBLE]
    argv = ["env", f"PYTHONPATH={_module_utils_only(bench)}", str(venv / "bin" / "python")]
    return outcome + _pytest(bench, f"unit on Python {version}", argv, "tests/unit", *ignored)


def _module_utils_only(bench: Bench) -> Path:
    """Return a folder with the part of ansible-core that managed hosts get, and that the old Python can import."""
    folder = CACHE / "target" / "ansible"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "__init__.py").touch()
    source = output([bench.python, "-c", "import ansible.module_utils as module; print(module.__path__[0])"]) or ""
    (folder / "module_utils").symlink_to(source.strip())
    return folder.parent


def kernel(log: IO[str]) -> Outcome:
    """Real iptables, both backends, in namespaces of this machine."""
    machine.install_packages(KERNEL_PACKAGES, log)
    bench = Bench(log)
    return _pytest(bench, "kernel", as_root([bench.python], bench.env), "tests/kernel", "--numprocesses=3", "--maxschedchunk=4")


def _pytest(bench: Bench, name: str, python: list[str], folder: str, *options: str) -> Outcome:
    if not any((ROOT / folder).rglob("test_*.py")):
        return Outcome(not_run=(NotRun(name, f"there is no test in {folder}"),))
    result = Path(bench.log.name).with_name(f"{name.replace(' ', '-')}.xml")
    result.unlink(missing_ok=True)
    argv = [*python, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junit-xml={result}", *options, folder]
    return report.from_junit(result, name, bench.status(*argv))


def molecule(log: IO[str]) -> Outcome:
    """The roles on whole machines: containers with systemd, made from Debian packages."""
    machine.install_packages(["debootstrap", "debian-archive-keyring", "iptables"], log)
    bench = Bench(log)
    engine.ensure(log)
    if not os.environ.get("PALISADE_IMAGES"):
        test_images(SUITES, log)
    scenarios = sorted({path.parent.name for path in ROOT.glob("molecule/*/molecule.yml")} - {VIRTUAL})
    _clear_away(scenarios, log)
    outcome = Outcome()
    for scenario in scenarios:
        outcome += _scenario(bench, scenario)
    return outcome or Outcome(not_run=(NotRun("molecule", "there is no scenario"),))


def test_images(suites: Sequence[str], log: IO[str]) -> list[str]:
    """Return the images of test machines, those built whose recipe changed: two at a time, each with a log of its own."""
    with ThreadPoolExecutor(max_workers=2) as pool:
        built = dict(zip(suites, pool.map(_build_image, suites)))
    for suite, good in built.items():
        if not good:
            log.write(_image_log(suite).read_text(errors="replace"))
            raise SetupError(f"the image {_image(suite)} could not be built, see {_image_log(suite)}")
    return [_image(suite) for suite in suites]


def _build_image(suite: str) -> bool:
    env = environment()
    with _image_log(suite).open("w") as log:
        return run(as_root([str(ROOT / "tests" / "images" / "build"), suite, _image(suite)], env), log, env=env) == 0


def _image(suite: str) -> str:
    return f"palisade-test:{suite}"


def _image_log(suite: str) -> Path:
    return LOGS / f"image-{suite}.log"


VIRTUAL = "vm"
"""The scenario whose machines are no containers. It is a group of its own."""


def virtual_machines(log: IO[str]) -> Outcome:
    """The roles on machines with a kernel of their own, which boot, and load modules."""
    bench = Bench(log)
    vm.ensure([*vm.RELEASES], log)
    run(as_root(["rm", "-rf", str(MOLECULE_STATE / VIRTUAL)]), log)  # or Molecule believes that what an interrupted run has left is up
    try:
        return _scenario(bench, VIRTUAL, without=("idempotence",))  # its tests do that after a reboot, which shows more
    finally:  # also where we are told to end, when no step of Molecule starts any more
        output(as_root(["env", f"PYTHONPATH={ROOT / 'scripts'}", sys.executable, "-m", "devkit", "vm", "stop", *vm.RELEASES]))


MOLECULE_STATE = CACHE / "molecule"


def _clear_away(scenarios: Sequence[str], log: IO[str]) -> None:
    """Remove what an interrupted run has left: this checkout's containers and networks, and what Molecule knew of them.

    Molecule's own `destroy` would ask for each machine of each scenario, which takes as long as a converge.
    """
    for listed, removed in ((("ps", "--all"), ("rm", "--force")), (("network", "ls"), ("network", "rm"))):
        names = (output(engine.docker(*listed, "--quiet", "--filter", f"name=-{INSTANCE}$")) or "").split()
        if names:
            run(engine.docker(*removed, *names), log)
    run(as_root(["rm", "-rf", *(str(MOLECULE_STATE / scenario) for scenario in scenarios)]), log)


STEPS = ("create", "prepare", "converge", "idempotence", "side-effect", "verify")
OPTIONAL_STEPS = {"prepare": "prepare.yml", "side-effect": "side_effect.yml"}


def _scenario(bench: Bench, scenario: str, *, without: Sequence[str] = ()) -> Outcome:
    """Take a scenario's steps one by one, so that each counts; stop at the first that fails, destroy whatever happened."""
    folder = ROOT / "molecule" / scenario
    steps = [name for name in STEPS if name not in without and (name not in OPTIONAL_STEPS or (folder / OPTIONAL_STEPS[name]).is_file())]
    outcome = Outcome()
    for number, name in enumerate(steps):
        good = _step(bench, scenario, name)
        outcome += report.check(f"molecule: {scenario} {name}", good)
        if not good:
            why = f"{name} failed"
            outcome += Outcome(not_run=tuple(NotRun(f"molecule: {scenario} {later}", why) for later in steps[number + 1 :]))
            break
    return outcome + report.check(f"molecule: {scenario} destroy", _step(bench, scenario, "destroy"))


def _step(bench: Bench, scenario: str, name: str) -> bool:
    env = {"PALISADE_INSTANCE": INSTANCE, "MOLECULE_GLOB": "molecule/*/molecule.yml", "MOLECULE_EPHEMERAL_DIRECTORY": str(MOLECULE_STATE / scenario)}
    argv = as_root([str(bench.venv / "bin" / "molecule"), name, "--scenario-name", scenario], {**bench.env, **env})
    return bench.run(*argv, env=env)


GROUPS: dict[str, Callable[[IO[str]], Outcome]] = {
    "kernel": kernel,
    "molecule": molecule,
    VIRTUAL: virtual_machines,
    "sanity": sanity,
    "lint": lint,
    "unit": unit,
}
"""In the order in which they start, the long ones first."""

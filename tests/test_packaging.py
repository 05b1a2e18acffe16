"""What ships is what was tested: generic import names are ours alone, and the wheel runs outside the checkout."""

import importlib.metadata
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("exporters", "rules", "recommender", "dashboards")


@pytest.fixture(scope="module", name="wheel")
def _wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)],
        check=True,
        capture_output=True,
    )
    (wheel,) = out.glob("optiinfra-*.whl")
    return wheel


@pytest.mark.parametrize("package", PACKAGES)
def test_import_name_belongs_to_optiinfra_alone(package: str) -> None:
    """`rules` and `exporters` exist on public indexes: another distribution would overwrite ours silently."""
    owners = importlib.metadata.packages_distributions().get(package, [])

    assert set(owners) <= {"optiinfra"}


def test_wheel_holds_every_data_file_of_the_packages(wheel: Path) -> None:
    tracked = subprocess.run(
        ["git", "ls-files", *PACKAGES], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.split()
    expected = {name for name in tracked if not name.startswith("rules/tests/")}
    with zipfile.ZipFile(wheel) as archive:
        shipped = {name for name in archive.namelist() if not name.startswith("optiinfra-")}

    assert expected == shipped & set(tracked)
    assert not any(name.startswith(("tests/", "demo/", "bench/")) for name in shipped)


def test_wheel_runs_in_an_empty_environment_outside_the_checkout(wheel: Path, tmp_path: Path) -> None:
    home = tmp_path / "venv"
    venv.create(home, with_pip=True)
    python = home / "bin" / "python"
    subprocess.run(
        [python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", str(wheel)], check=True, cwd=tmp_path
    )
    # Our dependencies come from the test environment; a path named in a .pth file does not load that environment's
    # own .pth files, so the editable install of the checkout stays invisible.
    (site,) = home.glob("lib/python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    probe = "import exporters, rules, recommender, dashboards; print(recommender.__file__)"
    where = subprocess.run([python, "-c", probe], check=True, capture_output=True, text=True, cwd=tmp_path).stdout
    version = subprocess.run(
        [home / "bin" / "optiinfra", "--version"], check=True, capture_output=True, text=True, cwd=tmp_path
    ).stdout
    rules = subprocess.run(
        [home / "bin" / "optiinfra", "build", "rules", "--check"],
        check=False,
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )

    assert str(home) in where
    assert importlib.metadata.version("optiinfra") in version
    assert rules.returncode == 0, rules.stderr


def test_every_dependency_says_why_it_is_there() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    section = text[text.index("\ndependencies = [") : text.index("[project.scripts]")]
    named = [line.strip() for line in section.splitlines() if line.strip().startswith('"')]
    project = tomllib.loads(text)["project"]
    extras = [requirement for extra in project["optional-dependencies"].values() for requirement in extra]

    assert len(named) == len(project["dependencies"]) + len(extras)
    assert [line for line in named if "#" not in line] == []


def test_lock_files_pin_every_dependency_and_name_no_index() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = {requirement.split(">=")[0].lower() for requirement in project["dependencies"]}
    for file in ("requirements.lock", "requirements-dev.lock"):
        lines = [line for line in (ROOT / file).read_text().splitlines() if not line.startswith("#")]
        assert wanted <= {line.split("==")[0] for line in lines}
        assert all("==" in line and "/" not in line for line in lines)

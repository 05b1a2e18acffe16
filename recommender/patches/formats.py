"""The formats, each from an assignment to text; None where the engine has no way for it in that format."""

import json
import math
import shlex
from collections.abc import Mapping

import yaml

from recommender.model import KnobValue, Patch
from recommender.patches.assignment import Assignment, text

# Charts whose values are known (their own documentation); the path to the list of arguments or variables.
_VLLM_CHART = "vLLM production-stack"
_OLLAMA_CHART = "ollama-helm (otwld)"


def engine_config(setting: Assignment) -> Patch | None:
    """A piece of the engine's YAML, its config.pbtxt, or its environment file."""
    if setting.key is None:
        return _env_file(setting) if setting.variables else None
    if setting.value is None:
        return Patch(
            format="engine-config",
            title="Configuration file of the engine: remove this key and all below it",
            content=f"# {setting.key}\n",
        )
    if setting.engine == "triton":
        return Patch(format="engine-config", title="config.pbtxt of the model", content=_pbtxt(setting))
    nested: object = setting.value
    for level in reversed(setting.key.split(".")):
        nested = {level: nested}
    content = _yaml(nested) + (_yaml(dict(setting.beside)) if setting.beside else "")
    return Patch(format="engine-config", title="Configuration file of the engine", content=content)


def command_line(setting: Assignment) -> Patch | None:
    """Arguments for the engine's command line, quoted for a shell."""
    arguments = setting.arguments
    if arguments is None:
        return None
    if not arguments:
        title = "Command line of the engine: remove this argument, with its value if it has one"
        return Patch(format="cli", title=title, content="\n".join(f"# {flag}" for flag in setting.flags) + "\n")
    title = "Command line of the engine: give these arguments, in place of those of the same name"
    return Patch(format="cli", title=title, content=shlex.join(arguments) + "\n")


def environment(setting: Assignment) -> Patch | None:
    """Variables of the engine's process, quoted for a shell."""
    if not setting.variables:
        return None
    if setting.value is None:
        content = "".join(f"unset {name}\n" for name in setting.variables)
        return Patch(format="environment", title="Environment of the engine: remove it", content=content)
    content = "".join(f"export {line}\n" for line in _lines(setting))
    return Patch(format="environment", title="Environment of the engine", content=content)


def helm_values(setting: Assignment, service: str) -> Patch | None:
    """Values of a Helm chart: of the engine's own where it is known, else the lists that most charts have."""
    if setting.value is None:
        return None  # a list of a chart cannot say what is left out
    if setting.engine == "vllm" and setting.arguments:
        spec = [{"name": service, "vllmConfig": {"extraArgs": list(setting.arguments)}}]
        title = f"Values of the chart {_VLLM_CHART}: add to extraArgs of the model's entry of modelSpec"
        return Patch(format="helm-values", title=title, content=_yaml({"servingEngineSpec": {"modelSpec": spec}}))
    if setting.variables and (setting.engine == "ollama" or not setting.arguments):
        chart, key = (f"chart {_OLLAMA_CHART}", "extraEnv") if setting.engine == "ollama" else ("chart", "env")
        entries = [{"name": name, "value": text(value)} for name, value in _variables(setting)]
        return Patch(format="helm-values", title=f"Values of the {chart}: add to {key}", content=_yaml({key: entries}))
    if setting.arguments:
        title = "Values of the chart: add to the arguments of the engine, which most charts call extraArgs"
        return Patch(format="helm-values", title=title, content=_yaml({"extraArgs": list(setting.arguments)}))
    return None


def compose(setting: Assignment, service: str) -> Patch | None:
    """A piece of a compose file. Compose itself replaces `$`, so each is doubled."""
    if setting.value is None:
        return None
    part: Mapping[str, object]
    if setting.variables:
        part = {"environment": {name: _no_dollar(text(value)) for name, value in _variables(setting)}}
        title = "Compose file: add to the environment of the engine"
    elif setting.arguments:
        part = {"command": [_no_dollar(argument) for argument in setting.arguments]}
        title = "Compose file: add to the command of the engine, which it else replaces"
    else:
        return None
    return Patch(format="compose", title=title, content=_yaml({"services": {service: part}}))


def request(setting: Assignment) -> Patch | None:
    """Fields of a request, where the engine takes the setting with it."""
    if setting.option is None or setting.value is None:
        return None
    field = {setting.option: setting.value}
    body = field if setting.option == "keep_alive" else {"options": field}
    title = "Requests of clients: with these fields, or in a Modelfile (PARAMETER)"
    if setting.option == "keep_alive":
        title = "Requests of clients: with this field"
    return Patch(format="request", title=title, content=json.dumps(body, ensure_ascii=False) + "\n")


def _env_file(setting: Assignment) -> Patch:
    if setting.value is None:
        content = "".join(f"# {name}\n" for name in setting.variables)
        return Patch(format="engine-config", title="Environment file of the engine: remove this line", content=content)
    content = "".join(f"{line}\n" for line in _lines(setting))
    return Patch(format="engine-config", title="Environment file of the engine", content=content)


def _lines(setting: Assignment) -> list[str]:
    return [f"{name}={shlex.quote(text(value))}" for name, value in _variables(setting)]


def _variables(setting: Assignment) -> list[tuple[str, KnobValue]]:
    """The variables of a setting and of what is set beside it."""
    own = [(name, "" if setting.value is None else setting.value) for name in setting.variables]
    return [*own, *setting.beside.items()]


def _pbtxt(setting: Assignment) -> str:
    value = "" if setting.value is None else text(setting.value)
    *sections, name = (setting.key or "").split(".")
    if sections == ["parameters"]:
        quoted = json.dumps(value, ensure_ascii=False)
        return f'parameters {{\n  key: "{name}"\n  value {{ string_value: {quoted} }}\n}}\n'
    number = isinstance(setting.value, int | float)
    rendered = f"{name}: {value if number else json.dumps(value, ensure_ascii=False)}"
    for section in reversed(sections):
        rendered = f"{section} {{ {rendered} }}"
    return rendered + "\n"


def _yaml(content: object) -> str:
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=math.inf)


def _no_dollar(word: str) -> str:
    return word.replace("$", "$$")

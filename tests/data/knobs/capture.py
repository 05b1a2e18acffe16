"""Writes what engines really call their settings, version by version, into the JSON beside this file.

Not part of any test: it wants the engines' own sources, which are not in this repository. Facts alone are kept: names,
defaults, choices. See README.md for where each was read and how to run this.

    python capture.py vllm 0.8.5=TREE ... 0.32.0=DUMP.json    # TREE: the unpacked package, or a checkout
    python capture.py dump-vllm DUMP.json                      # in an environment that has vLLM: its own parser
"""

import ast
import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import yaml

HERE = Path(__file__).parent
Facts = dict[str, dict[str, object]]  # name -> its default and choices, as far as the source tells them plainly


def vllm(tree: Path) -> Facts:
    """`add_argument` of the engine's arguments; defaults and choices from the dataclasses that they are made of."""
    modules = [_parsed(path) for path in sorted({*tree.glob("config*.py"), *tree.rglob("config/**/*.py")})]
    modules += [_parsed(path) for path in tree.glob("model_executor/layers/quantization/__init__.py")]
    arguments = _parsed(tree / "engine/arg_utils.py")
    values, fields = _constants([*modules, arguments]), _fields([*modules, arguments])
    found: Facts = {}
    served = [*sorted(tree.glob("entrypoints/**/cli_args.py")), tree / "entrypoints/cli/serve.py"]
    for module in [arguments, *map(_parsed, served)]:
        for names, keywords in _added(module):
            field = names[0].removeprefix("--").replace("-", "_")
            of = fields.get(("EngineArgs", field))
            annotated = next(
                (s for (_, name), s in fields.items() if name == field and _words(s.annotation, values)), of
            )
            facts = {} if of is None else _default(of.value, values, fields)
            words = [] if annotated is None else _words(annotated.annotation, values)
            words = words or _words(keywords.get("choices"), values)
            found |= dict.fromkeys(names, facts | ({"choices": words} if words else {}))
    for section, owner in (("speculative-config", "SpeculativeConfig"), ("compilation-config", "CompilationConfig")):
        for (name, field), statement in fields.items():
            if name == owner:
                words = _words(statement.annotation, values)
                found[f"{section}.{field}"] = {"choices": words} if words else {}
    return found


def sglang(tree: Path) -> Facts:
    """`add_argument` of old releases; fields that are annotated with their flag of those since 0.5.14."""
    paths = [tree / "srt/server_args.py", *sorted((tree / "srt").glob("arg_groups/**/*.py"))]
    modules = [_parsed(path) for path in paths]
    values, fields = _constants(modules), _fields(modules)
    found: Facts = {}
    for (_, name), statement in fields.items():
        annotation = statement.annotation
        if not (isinstance(annotation, ast.Subscript) and ast.unparse(annotation.value) in {"A", "Annotated"}):
            continue
        told = [n for n in ast.walk(annotation) if isinstance(n, ast.Call) and ast.unparse(n.func) == "Arg"]
        keywords = {k.arg: k.value for call in told for k in call.keywords if k.arg}
        names = [_literal(keywords.get("cli_name")) or "--" + name.replace("_", "-")]
        names += _literal(keywords.get("aliases")) or []
        words = _words(keywords.get("choices"), values)
        if _literal(keywords.get("no_cli")) is not True:
            facts = _default(statement.value, values, fields) | ({"choices": words} if words else {})
            found |= dict.fromkeys(names, facts)
    for module in modules:
        for names, keywords in _added(module):
            words = _words(keywords.get("choices"), values)
            facts = _default(keywords.get("default"), values, fields) if "default" in keywords else {}
            if _literal(keywords.get("action")) == "store_true":
                facts = {"default": False}
            found |= dict.fromkeys(names, facts | ({"choices": words} if words else {}))
    return found


def lmcache(tree: Path) -> Facts:
    """The table of fields of lmcache/v1/config.py, by key and by variable, and the calls of the internal API."""
    found: Facts = {}
    for node in ast.walk(_parsed(tree / "v1/config.py")):
        if isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                name, told = _literal(key), value if isinstance(value, ast.Dict) else None
                if isinstance(name, str) and told is not None and "env_converter" in map(_literal, told.keys):
                    default = dict(zip(map(_literal, told.keys), told.values, strict=True)).get("default")
                    found |= dict.fromkeys((name, f"LMCACHE_{name.upper()}"), _default(default, {}, {}))
    for path in tree.glob("v1/internal_api_server/**/*.py"):
        for method, route in re.findall(r'@router\.(put|post|delete)\("([^"]+)"', path.read_text()):
            found[f"{method.upper()} {route}"] = {}
    return found


def tgi(tree: Path) -> Facts:
    """The launcher's arguments: each field is a flag and, with `env`, a variable; and the server's own variables."""
    source = (tree / "launcher/src/main.rs").read_text()
    kinds = {name: _variants(body) for name, body in re.findall(r"\nenum (\w+) \{(.*?)\n\}", source, re.DOTALL)}
    found: Facts = {}
    body = source.split("struct Args {")[1].split("\n}")[0]
    for told, name, kind in re.findall(r"#\[clap\((.*?)\)\]\s*(?:///[^\n]*\s*)*(\w+): ([^\n]+),", body, re.DOTALL):
        facts: dict[str, object] = {}
        if given := re.search(r'default_value = "([^"]*)"', told):
            facts["default"] = _scalar(given[1])
        if words := kinds.get(kind.removeprefix("Option<").rstrip(">")):
            facts["choices"] = words
        names = [f"--{name.replace('_', '-')}", *([name.upper()] if "env" in told else [])]
        found |= dict.fromkeys(names, facts)
    server = tree / "server/text_generation_server/models/globals.py"
    read = server.read_text() if server.exists() else ""
    for name, default in re.findall(r'os\.(?:getenv|environ)[\[(]"(\w+)"(?:, "([^"]*)")?', read):
        found.setdefault(name, {"default": default} if default else {})
    return found


def llamacpp(tree: Path) -> Facts:
    """`common_arg` of common/arg.cpp with its variable; defaults of plain fields from common/common.h."""
    source, header = (tree / "common/arg.cpp").read_text(), (tree / "common/common.h").read_text()
    kinds = re.search(r"kv_cache_types = \{(.*?)\}", source, re.DOTALL)
    cached = [word.lower() for word in re.findall(r"GGML_TYPE_(\w+)", kinds[1] if kinds else "")]
    speculative = (tree / "common/speculative.cpp").read_text()
    listed = re.search(r"type_from_name_map = \{(.*?)\};", speculative, re.DOTALL)
    drafting = re.findall(r'\{"([\w-]+)"', listed[1] if listed else "")
    found: Facts = {}
    for block in source.split("add_opt(common_arg(")[1:]:
        head = re.match(r"\s*((?:\{[^}]*\},?\s*)+)", block)
        names = re.findall(r'"(--?[\w-]+)"', head[1]) if head else []
        env = re.search(r'set_env\("(\w+)"\)', block)
        facts: dict[str, object] = {}
        field = re.search(r"params\.(\w+) = value;", block)
        plain = re.search(rf"\b{field[1]}\s*=\s*(-?\d+|true|false)\s*;", header) if field else None
        if plain:
            facts["default"] = _scalar(plain[1])
        if "kv_cache_type_from_str" in block and cached:
            facts["choices"] = cached
        if "--spec-type" in names:
            facts["choices"] = re.findall(r'value == "([\w-]+)"', block) or drafting
        found |= dict.fromkeys([*names, *([env[1]] if env else [])], facts)
    return found


def ollama(tree: Path) -> Facts:
    """Variables of envconfig, options of a request that are fields of Runner, and DefaultOptions."""
    config, types = (tree / "envconfig/config.go").read_text(), (tree / "api/types.go").read_text()
    found: Facts = {name: {} for name in re.findall(r'"(OLLAMA_\w+)"', config)}
    found |= {name: {"default": int(value)} for name, value in re.findall(r'Uint\("(\w+)", (\d+)\)', config)}
    runner = types.split("type Runner struct {")[1].split("\n}")[0]
    options = dict(re.findall(r'(\w+)\s+[\w*]+\s+`json:"(\w+)', runner))
    given = types.split("func DefaultOptions()")[1].split("\n}")[0]
    defaults = {name: int(value) for name, value in re.findall(r"(\w+):\s+(-?\d+),", given)}
    for field, option in options.items():
        found[option] = {"default": defaults[field]} if field in defaults else {}
    found["keep_alive"] = {}
    return found if 'json:"keep_alive' in types else {}


def triton(tree: Path) -> Facts:
    """Parameters of the `tensorrt_llm` model: the template where there is one, and the tables of the documentation."""
    found: Facts = {}
    for path in (tree / "all_models/inflight_batcher_llm/tensorrt_llm/config.pbtxt", tree / "docs/model_config.md"):
        text = path.read_text() if path.exists() else ""
        found |= {
            name: {} for name in re.findall(r'key: "(\w+)"|^\| `(\w+)` ', text, re.MULTILINE) for name in name if name
        }
        for name, default in re.findall(r"^\| `(\w+)` .*\(default=`?([\w.]+)`?\)", text, re.MULTILINE):
            found[name] = {"default": _scalar(default)} if default != "unspecified" else {}
    return found


ENGINES: Mapping[str, Callable[[Path], Facts]] = {
    engine.__name__: engine for engine in (vllm, sglang, lmcache, tgi, llamacpp, ollama, triton)
}


def dump_vllm(out: Path) -> None:
    """The arguments of `vllm serve` by the parser object of the vLLM that is installed."""
    from vllm.entrypoints.launchers.cli_args import make_arg_parser  # noqa: PLC0415 - only where vLLM is installed
    from vllm.utils.argparse_utils import FlexibleArgumentParser  # noqa: PLC0415 - likewise

    found: Facts = {}
    for action in make_arg_parser(FlexibleArgumentParser())._actions:
        facts: dict[str, object] = {"choices": [str(word) for word in action.choices]} if action.choices else {}
        if action.default is None or isinstance(action.default, bool | int | float | str):
            facts["default"] = action.default
        found |= dict.fromkeys(action.option_strings, facts)
    out.write_text(json.dumps(found))


def write(engine: str, trees: Iterable[tuple[str, Path]]) -> None:
    """Names that our catalogue has, with the spans of versions in which what is told of them is the same.

    Of choices, those that the catalogue writes or reads.
    """
    ours = (HERE.parents[2] / f"recommender/knobs/{engine}.yml").read_text()
    knobs = yaml.safe_load(ours)["knobs"]
    told = {name for knob in knobs for name in _spelled(knob)}
    words = {word for knob in knobs for key in ("choices", "values", "reads") for word in _used(knob.get(key, ()))}
    versions, parsers, spans = [], [], {}
    for version, place in trees:
        dumped = place.suffix == ".json"
        found = json.loads(place.read_text()) if dumped else ENGINES[engine](place)
        if dumped and (tree := place.with_suffix("")).is_dir():  # what lies below a flag is in no parser
            read = ENGINES[engine](tree)
            found = {
                name: read.get(name, {}) | found.get(name, {})
                for name in found | read
                if name in found or name[0] != "-"
            }
        for name in sorted(told & found.keys()):
            facts = found[name]
            if "choices" in facts:
                facts = facts | {"choices": sorted(words & set(facts["choices"]))}
            line = spans.setdefault(name, [])
            if line and line[-1]["until"] == versions[-1] and line[-1]["facts"] == facts:
                line[-1]["until"] = version
            else:
                line.append({"since": version, "until": version, "facts": facts})
        versions.append(version)
        parsers += [version] if dumped else []
    names = {
        name: [{**s["facts"], "since": s["since"], "until": s["until"]} for s in line] for name, line in spans.items()
    }
    lines = ",\n".join(f"    {json.dumps(name)}: {json.dumps(names[name])}" for name in sorted(names))
    head = f'  "engine": "{engine}",\n  "versions": {json.dumps(versions)},\n  "parsers": {json.dumps(parsers)},\n'
    (HERE / f"{engine}.json").write_text(f'{{\n{head}  "names": {{\n{lines}\n  }}\n}}\n')


def _parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def _constants(modules: Iterable[ast.Module]) -> dict[str, ast.expr]:
    found = {}
    for node in (statement for module in modules for statement in module.body):
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if isinstance(target, ast.Name) and isinstance(value := getattr(node, "value", None), ast.expr):
            found[target.id] = value
    return found


def _fields(modules: Iterable[ast.Module]) -> dict[tuple[str, str], ast.AnnAssign]:
    classes = (node for module in modules for node in ast.walk(module) if isinstance(node, ast.ClassDef))
    return {
        (owner.name, statement.target.id): statement
        for owner in classes
        for statement in owner.body
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name)
    }


def _added(module: ast.Module) -> Iterable[tuple[list[str], dict[str, ast.expr]]]:
    for node in ast.walk(module):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "add_argument":
            names = [name for name in map(_literal, node.args) if isinstance(name, str) and name.startswith("-")]
            if names:
                yield (
                    sorted(names, key=lambda name: not name.startswith("--")),
                    {k.arg: k.value for k in node.keywords if k.arg},
                )


def _default(value: ast.expr | None, values: Mapping[str, ast.expr], fields: Mapping) -> dict[str, object]:
    if isinstance(value, ast.Constant):
        return {"default": value.value}
    if isinstance(value, ast.Attribute) and isinstance(value.value, ast.Name):
        of = fields.get((value.value.id, value.attr))
        return _default(None if of is None else of.value, values, fields)
    if isinstance(value, ast.Call):
        given = {k.arg: k.value for k in value.keywords}
        name = ast.unparse(value.func)
        if name in {"Field", "field"}:
            return _default(given.get("default", value.args[0] if value.args else None), values, fields)
        if name == "get_field" and len(value.args) == 2:
            of = fields.get((ast.unparse(value.args[0]), str(_literal(value.args[1]))))
            return _default(None if of is None else of.value, values, fields)
    return {}


def _words(node: ast.expr | None, values: Mapping[str, ast.expr], depth: int = 0) -> list[object]:
    """The words of a Literal or of a list of choices, names in it followed."""
    if node is None or depth > 12:
        return []
    if isinstance(node, ast.Name):
        return _words(values.get(node.id), values, depth + 1) if node.id[0].isupper() else []
    if isinstance(node, ast.Subscript) and ast.unparse(node.value).endswith("Literal"):
        return _words(node.slice, values, depth + 1)
    if isinstance(node, ast.Constant):
        return [node.value] if depth and node.value is not None else []
    parts = node.elts if isinstance(node, ast.List | ast.Tuple) else list(ast.iter_child_nodes(node))
    found = [word for part in parts if isinstance(part, ast.expr) for word in _words(part, values, depth + 1)]
    return list(dict.fromkeys(found))


def _literal(node: ast.expr | None) -> object:
    try:
        return None if node is None else ast.literal_eval(node)
    except ValueError:
        return None


def _variants(body: str) -> list[str]:
    """Words that clap makes of an enum: those given, else the variant's name in kebab case."""
    found, given = [], None
    for line in body.splitlines():
        if name := re.search(r'name = "([^"]+)"', line):
            given = name[1]
        elif variant := re.match(r"    (\w+),", line):
            found.append(given or re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", variant[1]).lower())
            given = None
    return found


def _scalar(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _used(given: Iterable[str]) -> Iterable[object]:
    return [*given, *(given.values() if isinstance(given, Mapping) else ())]


def _spelled(knob: Mapping[str, object]) -> Iterable[str]:
    """What a knob of the catalogue names: flags, variables, keys of files (also as the flag that they are), calls."""
    names = [knob.get(key) for key in ("flag", "flag_off", "env", "config_key", "option", "negated_key", "unset_key")]
    for key in ("aliases", "also", "also_flags", "sets", "masked_by"):
        names += knob.get(key, ())
    names += [key for default in knob.get("defaults", ()) for key in default.get("unless", ())]
    names += [f"{call['method']} {call['path']}" for call in knob.get("live_calls", ())]
    for name in (str(name).removeprefix("parameters.") for name in names if name):
        yield from (name, f"--{name}", name.rpartition(".")[2])


if __name__ == "__main__":
    if sys.argv[1] == "dump-vllm":
        dump_vllm(Path(sys.argv[2]))
    else:
        pairs = (argument.split("=", 1) for argument in sys.argv[2:])
        write(sys.argv[1], [(version, Path(place)) for version, place in pairs])

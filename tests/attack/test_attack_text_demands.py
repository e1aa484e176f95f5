"""Texts that make a loader build, call, import or open something, in the spellings that hide it."""

from __future__ import annotations

import json

import pytest

from weighbridge.formats.text import FORMAT
from weighbridge.testing.models import gguf_bytes, source_of
from weighbridge.testing.readings import examine
from weighbridge.vocabulary import Finding, Outcome, Severity


def findings(data: bytes | str, path: str) -> tuple[Finding, ...]:
    with source_of(data.encode() if isinstance(data, str) else data, path) as source:
        return FORMAT.read(source).findings


def worst(data: bytes | str, path: str) -> str:
    """`blocked`, `open` or `clean`, as a default `inspect` exits 1, 3 or 0."""
    found = findings(data, path)
    if any(f.outcome is Outcome.FAIL and f.severity.rank >= Severity.HIGH.rank for f in found):
        return "blocked"
    return "open" if any(f.outcome in (Outcome.UNKNOWN, Outcome.ERROR) for f in found) else "clean"


TAGS = {
    "plain": "a: !!python/object/apply:os.system ['true']\n",
    "first thing": "!!python/object/apply:os.system ['true']\n",
    "in a list": "[!!python/name:os.system ]\n",
    "as an item": "- !!python/object/new:os.system ['true']\n",
    "escaped": "a: !!%70ython/object/apply:os.system ['true']\n",
    "escaped twice over": "a: !!p%79thon%2Fobject/apply:os.system ['true']\n",
    "verbatim": "a: !<tag:yaml.org,2002:python/object/apply:os.system> ['true']\n",
    "behind another line break": "---\u2028!!python/object/apply:os.system ['true']\n",
    "behind next line": "# a\u0085!!python/object/apply:os.system ['true']\n",
    "verbatim and escaped": "a: !<tag:yaml.org,2002:%70ython/object/apply:os.system> ['true']\n",
}


@pytest.mark.parametrize("text", TAGS.values(), ids=TAGS)
def test_a_tag_that_builds_python_objects_is_found_however_it_is_spelled(text: str) -> None:
    assert worst(text, "config.yaml") == "blocked"
    assert worst(text.encode("utf-16"), "config.yaml") == "blocked"
    assert worst(text, "config.cfg") == "open"
    assert worst(text, "config.yml.txt") == "open"


def test_a_directive_that_renames_tags_leaves_the_question_open() -> None:
    assert worst("%TAG !p! tag:yaml.org,2002:pyth\n---\na: !p!on/object/apply:os.system ['true']\n", "c.yaml") == "open"


@pytest.mark.parametrize("line_break", ["\n", "\r", "\u0085", "\u2028"])
def test_a_directive_behind_any_line_break_is_found(line_break: str) -> None:
    text = f"# a{line_break}%TAG !p! tag:yaml.org,2002:python/\n---\n!p!object/apply:os.system [x]\n"
    assert worst(text, "config.yaml") == "open"


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("a: !Ref x\nb: !!str 5\nc: 'wow! !!important'\n", "config.yaml"),
        ("Never load `!!python/object/apply:os.system` with an unsafe loader.\n", "README.md"),
        ("_target_: nemo.collections.asr.models.EncDecCTCModel\n", "model_config.yaml"),
        (json.dumps({"optimizer": {"_target_": "torch.optim.AdamW"}}), "config.json"),
        (json.dumps({"weight_map": {"w": "model-00001-of-00002.safetensors", "v": "sub/x.bin"}}), "m.index.json"),
        (json.dumps({"_class_name": "P", "unet": ["diffusers", "U"], "safety_checker": ["stable_diffusion", "S"], "x": [None, None]}), "model_index.json"),
        (json.dumps({"peft_type": "LORA", "auto_mapping": None}), "adapter_config.json"),
        (json.dumps({"auto_mapping": {"parent_library": "transformers.models.llama.modeling_llama"}}), "adapter_config.json"),
        ("{% for m in messages %}{{ m['content'] | trim }}{% endfor %}{{ '__start__' }}\n", "chat_template.jinja"),
    ],
)  # fmt: skip
def test_what_real_models_hold_is_clean(text: str, path: str) -> None:
    assert worst(text, path) == "clean", findings(text, path)


EVIL = '{"AutoModel": "evil--Model"}'
DECOY = '{"auto_map": {}}, '


@pytest.mark.parametrize(
    "text",
    [
        '{"auto_map": {}, "auto_map": ' + EVIL + "}",
        '{"auto_map": ' + EVIL + ', "auto_map": {}}',
        '{"x": [' + DECOY * 70 + '{"auto_map": ' + EVIL + "}]}",
        '{"x": [' + DECOY * 5000 + '{"auto_map": ' + EVIL + "}]}",
        '{"auto\\u005fmap": ' + EVIL + "}",
    ],
    ids=["twice", "twice the other way", "behind decoys", "behind thousands of decoys", "escaped"],
)
def test_a_request_for_foreign_code_is_not_hidden(text: str) -> None:
    assert worst(text, "config.json") == "open"


@pytest.mark.parametrize(
    ("document", "path"),
    [
        ([{"idx": 0, "type": "evil.Module"}], "modules.json"),
        ([{"idx": 0, "type": "evil.Module", "pad": "x" * (3 << 20)}], "modules.json"),
        ({"_class_name": ["pipeline", "Evil"]}, "model_index.json"),
        ({"_class_name": "P", "unet": ["my_unet", "Evil"]}, "model_index.json"),
        ({"auto_mapping": {"base_model_class": "E", "parent_library": "evil"}}, "adapter_config.json"),
    ],
)
def test_a_module_of_the_publisher_that_a_loader_imports_is_an_open_question(document: object, path: str) -> None:
    assert worst(json.dumps(document), path) == "open"


@pytest.mark.parametrize("name", ["handler.py", "sitecustomize.py", "sub/usercustomize.py"])
def test_source_that_somebody_runs_unasked_is_an_open_question(name: str) -> None:
    assert worst("print()\n", name) == "open"
    assert worst("print()\n", "train.py") == "clean"


def test_a_target_that_is_escaped_is_blocked_and_one_that_is_spelled_oddly_is_open() -> None:
    assert worst('{"_t\\u0061rget_": "os.system"}', "config.json") == "blocked"
    assert worst('{"_target_": "\\u006fs.system"}', "config.json") == "blocked"
    assert worst('"_t\\x61rget_": os.system\n', "config.yaml") == "blocked"
    for odd in ("&a os.system", "!!str os.system", ">-\n  os.system", "|\n  os.system"):
        assert worst(f"_target_: {odd}\n", "config.yaml") == "open"


def test_what_stands_under_an_escaped_name_or_far_down_a_list_is_looked_at() -> None:
    evil = "{{ ''.__class__ }}"
    escaped = json.dumps({"chat_template": evil}).replace("chat_template", "chat\\u005ftemplate")
    assert worst(escaped, "tokenizer_config.json") == "blocked"
    listed = [{"name": str(number), "template": "hi"} for number in range(64)] + [{"name": "z", "template": evil}]
    assert worst(json.dumps({"chat_template": listed}), "tokenizer_config.json") == "open"


def test_a_tag_that_calls_is_a_target_too() -> None:
    assert worst("a: !apply:os.system [true]\n", "hyperparams.yaml") == "blocked"
    assert worst("a: !new:speechbrain.nnet.CNN.Conv1d\n  kernel: 3\n", "hyperparams.yaml") == "clean"


TARGETS = [
    "os.system",
    "subprocess.run",
    "builtins.eval",
    "importlib.import_module",
    "torch.os.system",
    "enum.bltns.eval",
    "joblib.load",
    "io.open",
    "torch.hub.load",
    "pathlib.Path.write_text",
]


@pytest.mark.parametrize("target", [*TARGETS, "pandas.read_pickle"])
def test_a_target_that_runs_code_is_blocked(target: str) -> None:
    assert worst(f"model:\n  _target_: {target}\n  command: true\n", "config.yaml") == "blocked"
    assert worst(json.dumps({"model": {"_target_": target}}), "config.json") == "blocked"


@pytest.mark.parametrize(
    "path",
    [
        "../outside.bin",
        "/etc/passwd",
        "a/../../b",
        "..\\b.bin",
        "C:\\b.bin",
        ".git/w.bin",
        "~/w.bin",
        "a/.cache/w.bin",
        "",
        "\u0000",
    ],
)
def test_an_index_that_leads_out_of_the_folder_is_blocked(path: str) -> None:
    document = json.dumps({"metadata": {}, "weight_map": {"a": "model.bin", "b:": path, "c": "model.bin"}})
    assert worst(document, "pytorch_model.bin.index.json") == "blocked"
    assert worst(document, "renamed.json") == "blocked"


@pytest.mark.parametrize(
    "template",
    [
        r"{{ cycler['\x5f\x5finit\x5f\x5f'] }}",
        "{{ cycler['__ini'~'t__'] }}",
        "{{ x['_'*2 ~ 'init' ~ '_'*2] }}",
        "{{ lipsum['__globals_'+'_'] }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ cycler['__init__'] }}",
        "{{ x | attr('y') }}",
        "{{ x|attr ('y') }}",
        """{{ lipsum["__glo" "bals__"] }}""",
        "{{ lipsum['__slabolg__'[::-1]] }}",
        "{{ lipsum['__GLOBALS__'|lower] }}",
        "{{ lipsum[['__glo', 'bals__']|join] }}",
        "{{ lipsum['__glo-bals__'.replace('-', '')] }}",
        "{% set a = '__glo' %}{% set b = 'bals__' %}{{ lipsum[a ~ b] }}",
        r"{{ lipsum['\U0000005f\U0000005fglobals__'] }}",
        "{{ ([1]|map('string')).gi_frame.f_builtins['eval']('1') }}",
        "{{ self._TemplateReference__context.environment }}",
        "{{ ([lipsum]|map('attr', x))|first }}",
        "{{ [lipsum]|map(attribute='_x') }}",
    ],
)
def test_a_template_that_reaches_out_of_its_sandbox_is_blocked_wherever_it_stands(template: str) -> None:
    from weighbridge.formats.gguf import FORMAT as GGUF

    assert worst(template, "chat_template.jinja") == "blocked"
    assert worst(json.dumps({"chat_template": template}), "tokenizer_config.json") == "blocked"
    listed = {"chat_template": [{"name": "default", "template": "hi"}, {"name": "tool", "template": template}]}
    assert worst(json.dumps(listed), "tokenizer_config.json") == "blocked"
    with source_of(
        gguf_bytes({"general.architecture": "llama", "tokenizer.chat_template.tool_use": template})
    ) as source:
        found = GGUF.read(source).findings
    assert any(f.check == "gguf.template" and f.outcome is Outcome.FAIL for f in found)


@pytest.mark.parametrize(
    "template",
    [
        "{{ lipsum['%c%cglobals%c%c'|format(95, 95, 95, 95)] }}",
        "{{ lipsum[dict(__glo=1, bals__=1)|join] }}",
        "{% set u = (lipsum|string)[18] %}{{ lipsum[u ~ u ~ 'globals' ~ u ~ u] }}",
        "{% set u %}_{% endset %}{{ lipsum[u] }}",
        "{% set ns = namespace(k='__glo' ~ x) %}{{ lipsum[ns.k] }}",
        "{% macro f(k) %}{{ lipsum[k] }}{% endmacro %}{{ f('__glo' ~ x) }}",
        "{% set l = [] %}{% set _ = l.append('__glo' ~ x) %}{{ lipsum[l[0]] }}",
        r"{{ lipsum['\N{LOW LINE}_globals__'] }}",
        "{% for a, b in [('__glo', 'bals__')] %}{{ lipsum[a + b] }}{% endfor %}",
        "{% macro f(a, b) %}{{ lipsum[a + b] }}{% endmacro %}{{ f('__glo', 'bals__') }}",
        "{% set n = namespace(a='__glo', b='bals__') %}{{ lipsum[n.a + n.b] }}",
        "{% macro f() %}{{ lipsum[caller()] }}{% endmacro %}{% call f() %}_{% raw %}_x{% endraw %}{% endcall %}",
        "{{ lipsum['--globals--'.translate({45: 95})] }}",
        "{% set ns = namespace(k='') %}{% for c in ['_', '_', 'x'] %}{% set ns.k = ns.k + c %}{% endfor %}{{ x[ns.k] }}",
    ],
)
def test_a_key_that_a_template_puts_together_leaves_the_question_open(template: str) -> None:
    assert worst(template, "chat_template.jinja") == "open"


@pytest.mark.parametrize(
    "template",
    [
        "{% for t in tools %}{% for k in t %}{{ k ~ ': ' ~ t[k] }}{% endfor %}{% endfor %}",
        "{% set ns = namespace(i=0) %}{{ messages[ns.i + 1].content }}{{ messages[messages|length - 1]['content'] }}",
        "{% set fn = tool.function if 'function' in tool else tool %}{% set n = fn.name.split('.')[0] %}{{ d[n] }}",
        "{% for k, v in tool.properties|dictsort %}{{ v['type'] ~ tool.required[k] }}{% endfor %}",
    ],
)
def test_keys_that_come_from_messages_and_tools_are_clean(template: str) -> None:
    assert worst(template, "chat_template.jinja") == "clean"


def test_a_tensorflow_graph_in_text_form_is_not_called_clean() -> None:
    data = b'saved_model_schema_version: 1\nmeta_graphs { graph_def { node { name: "x" op: "PyFunc" } } }\n'
    reading = examine(FORMAT, data, "saved_model.pbtxt")
    assert reading is not None
    assert ("code.on-load", Outcome.UNKNOWN) in {(f.check, f.outcome) for f in reading.findings}

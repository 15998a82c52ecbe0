"""Short chat templates of our own, one for each way in which models write calls, and the styles that are found in them."""

from nemochat.prompt.call_styles import Renderings, find
from nemochat.prompt.replies import NEMOTRON
from tests.prompt.known_renderings import renderings

HEAD = "{% for m in messages %}{% if m.role == 'user' %}<|user|>{{ m.content }}<|end|>{% else %}<|assistant|>"
FOOT = "<|end|>{% endif %}{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
CALLS = "{{ m.content or '' }}{% for c in m.tool_calls or [] %}{% set f = c.function %}"
EACH = CALLS + "BODY{% endfor %}"
JSON = '{"name": "{{ f.name }}", "arguments": {{ f.arguments | tojson }}}'
ARGUMENTS = "{% for key, value in f.arguments.items() %}ARGUMENT{% endfor %}"
VALUE = "{{ value if value is string else value | tojson }}"


def _template(body: str, argument: str = "") -> str:
    return HEAD + body.replace("ARGUMENT", argument).replace("VALUE", VALUE) + FOOT


def _each(body: str, argument: str = "") -> str:
    return _template(EACH.replace("BODY", body.replace("ARGUMENTS", ARGUMENTS)), argument)


def _section(opens: str, body: str, closes: str, argument: str = "") -> str:
    """Calls within one pair of tags."""
    return _template(
        "{{ m.content or '' }}{% if m.tool_calls %}" + opens + "{% for c in m.tool_calls %}{% set f = c.function %}"
        + body.replace("ARGUMENTS", ARGUMENTS) + "{% endfor %}" + closes + "{% endif %}", argument
    )  # fmt: skip


NEWLINE = "{{ '\\n' }}"
TEMPLATES = {
    "json": _each(f"<tool_call>{NEWLINE}{JSON}{NEWLINE}</tool_call>"),
    "list": _section("<calls>[", JSON + "{{ ', ' if not loop.last }}", "]</calls>"),
    "parameters": _each(JSON.replace('"name"', '"tool_name"').replace('"arguments"', '"parameters"').join(("<|call|>", "<|called|>"))),
    "name as key": _section("<|calls|>[", '{"{{ f.name }}": {{ f.arguments | tojson }}}{{ \', \' if not loop.last }}', "]<|called|>"),
    "bare": _each(JSON.replace("arguments", "parameters", 1)),
    "word": _section("functools[", JSON + "{{ ', ' if not loop.last }}", "]"),
    "unclosed list": _section("[TOOL_CALLS][", JSON + "{{ ', ' if not loop.last }}", "]"),
    "named": _each("[TOOL_CALLS]{{ f.name }}[ARGS]{{ f.arguments | tojson }}"),
    "named with an id": _each("[TOOL_CALLS]{{ f.name }}[CALL_ID]{{ c.id }}[ARGS]{{ f.arguments | tojson }}"),
    "named in a section": _section(
        "<|calls|>", "<|call|>functions.{{ f.name }}:{{ loop.index0 }}<|arguments|>{{ f.arguments | tojson }}<|called|>", "<|all_called|>"
    ),
    "function tag": _each("<function={{ f.name }}>{{ f.arguments | tojson }}</function>"),
    "tagged": _each(
        f"<tool_call>{NEWLINE}<function={{{{ f.name }}}}>{NEWLINE}ARGUMENTS</function>{NEWLINE}</tool_call>",
        f"<parameter={{{{ key }}}}>{NEWLINE}VALUE{NEWLINE}</parameter>{NEWLINE}",
    ),
    "keys and values": _each(
        "<tool_call>{{ f.name }}ARGUMENTS</tool_call>", "<arg_key>{{ key }}</arg_key><arg_value>VALUE</arg_value>"
    ),
    "tagged in a section": _section(
        f"<calls>{NEWLINE}", f'<invoke name="{{{{ f.name }}}}">{NEWLINE}ARGUMENTS</invoke>{NEWLINE}', "</calls>",
        f'<parameter name="{{{{ key }}}}">VALUE</parameter>{NEWLINE}',
    ),
    "tagged with types": _section(
        "<calls>", '<invoke name="{{ f.name }}">ARGUMENTS</invoke>', "</calls>",
        '<parameter name="{{ key }}" string="{{ \'true\' if value is string else \'false\' }}">VALUE</parameter>',
    ),
    "python": _section(
        "<|tool_call_start|>[",
        "{{ f.name }}({% for key, value in f.arguments.items() %}{{ key }}={{ value | tojson }}{{ ', ' if not loop.last }}{% endfor %})"
        "{{ ', ' if not loop.last }}", "]<|tool_call_end|>",
    ),
}  # fmt: skip
KINDS = {
    "bare": "json", "list": "json", "parameters": "json", "name as key": "json", "word": "json", "unclosed list": "json", "json": "json",
    "named": "named", "named with an id": "named", "named in a section": "named", "function tag": "named",
    "tagged": "tagged", "keys and values": "tagged", "tagged in a section": "tagged", "tagged with types": "tagged", "python": "python",
}  # fmt: skip
SAID = "{% if m.reasoning_content %}<think>{{ '\\n' }}{{ m.reasoning_content }}{{ '\\n' }}</think>{{ '\\n\\n' }}{% endif %}{{ m.content }}"
THINKING = HEAD + SAID + FOOT
BEGUN = THINKING.replace("%}<|assistant|>{% endif", "%}<|assistant|><think>{{ '\\n' }}{% endif")
"""The prompt opens the reasoning."""
STYLES = {name: find(renderings(template)) for name, template in TEMPLATES.items()}
HARMONY = find(Renderings("<|channel|>analysis<|message|>"))
GEMMA = find(Renderings("<|channel>thought <channel|> <|tool_call>call:"))
FUNCTIONARY = find(Renderings(r">>>all\n"))
DEEPSEEK = find(Renderings("<think></think><｜tool▁calls▁begin｜>"))  # noqa: RUF001
MUSE = find(Renderings("<atem:invoke to=self<|message|>"))
MINIMAX = find(Renderings("<mm:think></mm:think>]<]minimax[>["))
FAMILIES = {"harmony": HARMONY, "gemma": GEMMA, "functionary": FUNCTIONARY, "deepseek": DEEPSEEK, "nemotron": NEMOTRON} | {
    "muse": MUSE, "minimax": MINIMAX
}  # fmt: skip
EVERY = STYLES | FAMILIES

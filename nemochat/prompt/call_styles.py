"""Which style a chat template wants replies in, found by what stands around the name and the arguments of a call that it rendered.

Pure: `Renderings` are texts in which the template said what is known beforehand (`TOOL`, `CALL`, ...). Where a template renders no
calls, or in a form that no class describes, the texts of known families in its source decide.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import msgspec

from nemochat.domain.messages import ToolCall, ToolCallPart, ToolSpec
from nemochat.prompt.calls import ANY, CallStyle
from nemochat.prompt.replies import NEMOTRON, ReplyStyle, parse_reply

TOOL = ToolSpec(
    "known_name",
    "Known.",
    {
        "type": "object",
        "properties": {
            "first_key": {"type": "string", "description": "Text."},
            "second_key": {"type": "integer", "description": "A number."},
            "third_key": {"type": "object", "description": "Values.", "additionalProperties": {"type": "array"}},
        },
        "required": ["first_key"],
    },
)
"""The tool that the template is to be told of where it renders `CALL`."""
CALL = ToolCall("known_name", {"first_key": "first value", "second_key": 2, "third_key": {"inner": [True, "x"]}}, "known0001")
SECOND = ToolCall("known_name", {"first_key": "second value"}, "known0002")
QUESTION, THOUGHT, REPLY = "Known question?", "Known thought.", "Known reply."

GENERAL = CallStyle("json:<tool_call>", "<tool_call>", "</tool_call>", lead="\n", trail="\n")
"""For a model whose template knows of no tools: the form that most models have seen."""


class Renderings(msgspec.Struct, frozen=True):
    """What a template says of a conversation that begins with `QUESTION`; "" where it refuses.

    source: the template. prompt: up to where the reply begins. text: with the reply `REPLY`. reasoned: with `THOUGHT` before it (given as
    ``reasoning_content``, ``reasoning`` and ``thinking``). call: with an empty reply that makes the call `CALL`, the template told of
    `TOOL`. calls: with `CALL` and `SECOND`.
    """

    source: str = ""
    prompt: str = ""
    text: str = ""
    reasoned: str = ""
    call: str = ""
    calls: str = ""


_HARMONY = ReplyStyle(
    CallStyle(
        "harmony",
        " to=functions.",
        kind="named",
        after="<|channel|>commentary json<|message|>",
        after_as_read=r"(?:\s*+<\|channel\|>\w{1,32})?(?:\s*+<\|constrain\|>\w{1,32}|\s++\w{1,32})?\s*+<\|message\|>",
    ),
    ("<|channel|>analysis<|message|>", "<|end|>"),
    text=("<|channel|>final<|message|>", ""),
    hidden=("<|end|>", "<|return|>", "<|call|>"),
    headers=("<|start|>", "<|channel|>"),
    header_closes="<|message|>",
    between="<|start|>assistant",
)
_GEMMA = CallStyle("gemma", "<|tool_call>", "<tool_call|>", kind="gemma")
_PYTHON = CallStyle("python", "<|tool_call_start|>", "<|tool_call_end|>", kind="python")
_BAR = "\uff5c"
"""What stands within the marks of DeepSeek, for the bar of others."""
_DEEPSEEK = CallStyle(
    "deepseek",
    f"<{_BAR}tool▁calls▁begin{_BAR}>",
    f"<{_BAR}tool▁calls▁end{_BAR}>",
    kind="named",
    has_several=True,
    before=f"<{_BAR}tool▁call▁begin{_BAR}>function<{_BAR}tool▁sep{_BAR}>",
    after="\n```json\n",
    end=f"\n```<{_BAR}tool▁call▁end{_BAR}>",
)
_KIMI = CallStyle(
    "kimi",
    "<|open|>tools<|sep|>",
    "<|close|>tools<|sep|>",
    kind="tagged",
    has_several=True,
    between="",
    before='<|open|>call tool="',
    after=f'" index="{ANY}"<|sep|>',
    end="<|close|>call<|sep|>",
    key_opens='<|open|>argument key="',
    key_closes=f'" type="{ANY}"<|sep|>',
    value_closes="<|close|>argument<|sep|>",
)
_MINIMAX = "]<]minimax[>["
"""What stands before each tag of MiniMax-M3's calls."""
_MINIMAX_M3 = CallStyle(
    "minimax",
    f"{_MINIMAX}<tool_call>",
    f"{_MINIMAX}</tool_call>",
    kind="elements",
    lead="\n",
    has_several=True,
    between="",
    before=f'{_MINIMAX}<invoke name="',
    after='">',
    end=f"{_MINIMAX}</invoke>\n",
    key_opens=f"{_MINIMAX}<",
    key_closes=">",
    value_closes=f"{_MINIMAX}</",
)
_FUNCTIONARY = ReplyStyle(CallStyle("functionary", ">>>", kind="named", after="\n"), text=(">>>all\n", ""), starts=">>>")
_MUSE = ReplyStyle(
    CallStyle(
        "muse",
        "<atem:function_calls>",
        "</atem:function_calls>",
        kind="tagged",
        lead="\n",
        has_several=True,
        before='<atem:invoke name="',
        after='">\n',
        end="</atem:invoke>\n",
        key_opens='<atem:parameter name="',
        key_closes='">',
        value_closes="</atem:parameter>\n",
    ),
    (" to=self<|message|>", "<|eom|>"),
    text=(" to=user<|message|>", ""),
    hidden=("<|eom|>", "<|eot|>", "<|start|>assistant", "<|message|>"),
    headers=(" to=",),
    header_closes="<|message|>",
)
_FAMILIES: tuple[tuple[tuple[str, ...], ReplyStyle], ...] = (
    (("<toolcall>", "<extra_id_1>"), NEMOTRON),
    (("<|channel|>analysis", "<|message|>"), _HARMONY),
    ((">>>all\\n",), _FUNCTIONARY),
    (("<atem:invoke", "to=self<|message|>"), _MUSE),
)
"""What a template's source holds in every case, and the style of that family."""
_KNOWN_CALLS: tuple[tuple[str, CallStyle], ...] = (
    ("<|tool_call>call:", _GEMMA),
    ("<|tool_call_start|>", _PYTHON),
    ('<|open|>call tool="', _KIMI),
    (_MINIMAX, _MINIMAX_M3),
    ("<|tool_list_start|>", _PYTHON),
    ("List of tools: [", _PYTHON),
    (_DEEPSEEK.opens, _DEEPSEEK),
    ('"tool_name"', CallStyle("json:Action", "Action:\n```json", "```", is_list=True, lead="\n", trail="\n", name_key="tool_name",
                              arguments_key="parameters", has_several=True)),
)  # fmt: skip
"""Calls by what stands in a template's source, where it renders none that could be read."""
_KNOWN_REASONING: tuple[tuple[str, str], ...] = (
    ("<think>", "</think>"),
    ("[THINK]", "[/THINK]"),
    ("<|channel>thought", "<channel|>"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<seed:think>", "</seed:think>"),
    ("<mm:think>", "</mm:think>"),
    ("<|open|>think<|sep|>", "<|close|>think<|sep|>"),
    ("<|inner_prefix|>", "<|inner_suffix|>"),
    ("Here are my reasoning steps:", "[BEGIN FINAL RESPONSE]"),
    ("<thinking>", "</thinking>"),
    ("<reasoning>", "</reasoning>"),
)
_KNOWN_TEXT = {
    "open_tag('call'": ("<|open|>response<|sep|>", "<|close|>response<|sep|>"),
    "<|START_RESPONSE|>": ("<|START_RESPONSE|>", "<|END_RESPONSE|>"),
    "<response></response>": ("<response>", "</response>"),
}
"""The texts around words, by what stands in a template's source."""
_STRAY = {"<channel|>": "<channel|>", "</mm:think>": "</mm:think>", "<|close|>think<|sep|>": "<|close|>message<|sep|>"}
"""A text that a model may write besides, and that says nothing, by the one that ends its reasoning."""
_LONGEST = 8_000
"""Characters in which a template says the two known calls; one that needs more has another purpose."""
_MARKER_BEGIN = re.compile(r"<(?!\s)|\[(?=[A-Z/])|>>>")
_MARKER = re.compile(r"<\|?[^<>\s]+>|\[/?[A-Z_]+\]")


def find(renderings: Renderings) -> ReplyStyle:
    """The style of a template's replies."""
    source = renderings.source
    for texts, style in _FAMILIES:
        if all(text in source for text in texts):
            return style
    reasoning = _reasoning(renderings)
    text = _around_text(renderings, reasoning)
    stray = _STRAY.get(reasoning[1], "") if reasoning is not None else ""
    hidden = [stray, *_MARKER.findall(text[0])] if stray else _MARKER.findall(text[0])
    style = ReplyStyle(None, reasoning, text=text, hidden=tuple(hidden))
    one, two = (_body(renderings, rendering, style) for rendering in (renderings.call, renderings.calls))
    bodies = (one, two) if max(len(one), len(two)) <= _LONGEST else ("", "")
    calls = next((each for each in _candidates(*bodies) if _is_right(each, bodies[0])), None)
    calls = calls or next((known for marker, known in _KNOWN_CALLS if marker in source), GENERAL)
    return opened_by(msgspec.structs.replace(style, calls=calls), renderings.prompt)


def opened_by(style: ReplyStyle, prompt: str) -> ReplyStyle:
    """The style of a reply behind this prompt (its end is enough), which may have opened the reasoning already."""
    begins = style.reasoning is not None and prompt.rstrip().endswith(style.reasoning[0])
    return msgspec.structs.replace(style, begins_in_reasoning=begins)


def _body(renderings: Renderings, rendering: str, style: ReplyStyle) -> str:
    """The calls of a reply in a rendering: without the prompt and the reasoning before them, and what closes the turn behind them."""
    head, body = renderings.prompt.rpartition(QUESTION)[2], rendering.rpartition(QUESTION)[2]
    body = body[len(_up_to_marker(_common_beginning(body, head))) :].removesuffix(renderings.text.rpartition(REPLY)[2])
    for closes in ((style.reasoning or ("", ""))[1], style.text[1]):
        before, found, behind = body.partition(closes) if closes else ("", "", body)
        body = behind if found and CALL.name not in before else body
    return body


def _common_beginning(one: str, other: str) -> str:
    size = next((index for index, (mine, theirs) in enumerate(zip(one, other, strict=False)) if mine != theirs), min(len(one), len(other)))
    return one[:size]


def _common_end(one: str, other: str) -> str:
    return _common_beginning(one[::-1], other[::-1])[::-1]


def _reasoning(renderings: Renderings) -> tuple[str, str] | None:
    """The texts around reasoning: those that stand there, or known ones that the template speaks of."""
    body = renderings.reasoned
    if THOUGHT in body and REPLY in body.rpartition(THOUGHT)[2]:
        before, _, behind = body.rpartition(THOUGHT)
        behind = behind[: behind.index(REPLY)]
        for opens, closes in _KNOWN_REASONING:
            if before.rstrip().endswith(opens) and behind.lstrip().startswith(closes):
                return opens, closes
        opening, closing = list(_MARKER.finditer(before)), _MARKER.search(behind)
        if opening and closing:
            return before[opening[-1].start() :].strip(), closing[0]
    return next((pair for pair in _KNOWN_REASONING if pair[1] in renderings.source), None)


def _around_text(renderings: Renderings, reasoning: tuple[str, str] | None) -> tuple[str, str]:
    """The texts around the words of a reply, where they have tags of their own."""
    if (spoken := next((pair for marker, pair in _KNOWN_TEXT.items() if marker in renderings.source), None)) is not None:
        return spoken
    body = (renderings.reasoned if THOUGHT in renderings.reasoned else renderings.text).rpartition(QUESTION)[2]
    if reasoning is None or REPLY not in body or reasoning[1] not in body:
        return "", ""
    before, _, behind = body.rpartition(REPLY)
    before = before[len(_common_beginning(before, renderings.prompt.rpartition(QUESTION)[2])) :]
    opens, closes = before.rpartition(reasoning[1])[2].strip(), _MARKER.match(behind)
    return (opens, closes[0]) if closes and _MARKER.search(opens) else ("", "")


def _is_right(style: CallStyle, body: str) -> bool:
    """Whether the call that the template wrote is read with this style."""
    parts = parse_reply(body[body.find(style.opens) :], ReplyStyle(style), (TOOL,)) if style.opens in body else ()
    calls = [call for part in parts if isinstance(part, ToolCallPart) for call in part.calls]
    return [(call.name, call.arguments) for call in calls] == [(CALL.name, CALL.arguments)]


def _candidates(body: str, second: str) -> Iterator[CallStyle]:
    """What the styles may be of a call, and of two."""
    if CALL.name not in body:
        return
    yield from (known for marker, known in _KNOWN_CALLS if marker in body)
    for find_style in (_json, _named, _tagged):
        if (style := find_style(body, second)) is not None:
            yield style


def _json(body: str, second: str) -> CallStyle | None:
    """Name and arguments in JSON: the first value of JSON that holds the name."""
    place = _json_around(body)
    if place is None:
        return None
    start, end, value = place
    before, behind = body[:start], body[end:]
    item = value[0] if isinstance(value, list) and value else value
    if not isinstance(item, dict):
        return None
    item = item["function"] if isinstance(item.get("function"), dict) else item
    name_key = next((key for key, each in item.items() if each == CALL.name), "")
    arguments_key = next((key for key, each in item.items() if each == CALL.arguments or each == json.dumps(CALL.arguments)), "")
    opens, closes = before.strip(), behind.strip()
    if not opens:
        opens, closes = f'{{"{name_key}":', ""
    is_list = isinstance(value, list)
    return CallStyle(
        f"json:{opens}{'[' if is_list else ''}{'' if name_key == 'name' else name_key or '{'}",
        opens,
        closes,
        lead=before[len(before.rstrip()) :],
        trail=behind[: len(behind) - len(behind.lstrip())] if closes else "",
        is_list=is_list,
        has_several=is_list or (bool(closes) and second.count(opens) == 1 and second.count(CALL.name) == 2),
        name_key=name_key,
        arguments_key=arguments_key if name_key else "",
    )


def _json_around(body: str) -> tuple[int, int, object] | None:
    """Where the first value of JSON that holds the name stands, and the value."""
    decoder = json.JSONDecoder()
    for bracket in re.finditer(r"[\[{]", body):
        try:
            value, end = decoder.raw_decode(body, bracket.start())
        except (ValueError, RecursionError):
            continue
        if CALL.name in body[bracket.start() : end]:
            return bracket.start(), end, value
    return None


def _named(body: str, second: str) -> CallStyle | None:
    """A name, and the arguments in JSON behind it."""
    place = _arguments_at(body, CALL)
    if place is None or CALL.name not in body[: place[0]]:
        return None
    name_at = body.index(CALL.name)
    before, after, behind = body[:name_at], body[name_at + len(CALL.name) : place[0]], body[place[1] :]
    two = _arguments_at(second, CALL), _arguments_at(second, SECOND)
    middle = second[two[0][1] : two[1][0]].rpartition(SECOND.name)[0] if two[0] and two[1] else ""
    ends = (behind, second[two[1][1] :]) if two[1] else (behind,)
    return _style("named", before, middle, max(ends, key=len), after=_without_ids(after))


def _arguments_at(body: str, call: ToolCall) -> tuple[int, int] | None:
    decoder = json.JSONDecoder()
    for bracket in re.finditer(r"\{", body):
        try:
            value, end = decoder.raw_decode(body, bracket.start())
        except (ValueError, RecursionError):
            continue
        if value == call.arguments:
            return bracket.start(), end
    return None


def _tagged(body: str, second: str) -> CallStyle | None:
    """A name, and the arguments in tags of their own, each of them said once."""
    if any(body.count(text) != 1 for text in (CALL.name, "first value", *CALL.arguments)) or second.count(SECOND.name) > 2:
        return None
    found = re.search(
        r"(?P<name>known_name)(?P<after>.*?)first_key(?P<key1>.*?)first value(?P<between>.*?)second_key(?P<key2>.*?)2(?P<then>.*?)third_key"
        r"(?P<key3>[^{]*)(?P<value>\{.*\})(?P<behind>.*)",
        body,
        re.DOTALL,
    )
    if found is None:
        return None
    key_opens = _from_marker(_common_end(found["after"], found["between"]))
    value_closes = found["between"].removesuffix(key_opens)
    key_closes = found["key1"]
    if key_closes != found["key2"]:
        start = re.sub(r"\w*$", "", _common_beginning(key_closes, found["key2"]))
        end = re.sub(r"^\w*", "", _common_end(key_closes, found["key2"]))
        key_closes = f"{start}{ANY}{end}"
    after = found["after"].removesuffix(key_opens)
    behind = found["behind"].removeprefix(value_closes)
    before = body[: found.start()]
    two = re.search(r"(?P<value>\})(?P<middle>[^}]*?)known_name.*?second value", second, re.DOTALL)
    middle = two["middle"].removeprefix(value_closes) if two else ""
    return _style(
        "tagged", before, middle, behind, after=_without_ids(after), key_opens=key_opens, key_closes=key_closes,
        value_closes=value_closes,
    )  # fmt: skip


def _style(kind: str, before: str, middle: str, behind: str, **rest: str) -> CallStyle | None:
    """A style from what stands before the first name, between two calls, and behind the last arguments."""
    before, middle, behind = map(_without_ids, (before, middle, behind))
    lead_in = before.lstrip()
    repeated = _from_marker(_common_end(lead_in, middle))
    is_section = bool(repeated) and bool(lead_in.removesuffix(repeated).strip())
    if is_section:
        opens, per_call = lead_in.removesuffix(repeated), repeated
        end = _common_beginning(middle.removesuffix(repeated), behind)
        behind = behind.removeprefix(end).strip()
        first = _MARKER.match(behind)
        closes = first[0] if first else behind
    else:
        if middle:
            behind = _up_to_marker(_common_beginning(behind, middle))
        first = _MARKER.match(lead_in)
        opens = first[0] if first else lead_in
        per_call = lead_in[len(opens) :]
        markers = list(_MARKER.finditer(behind))
        closes = markers[-1][0] if markers else behind.strip()
        end = behind[: markers[-1].start()] if markers else ""
    if not opens.strip() or opens.strip()[0].isalnum():
        return None
    kept = opens.rstrip()
    lead = opens[len(kept) :]
    return msgspec.convert(
        {
            "name": f"{kind}:" + "".join("".join((kept, per_call, *rest.values())).replace(ANY, "").split()),
            "opens": kept,
            "closes": closes,
            "kind": kind,
            "lead": lead,
            "before": per_call,
            "end": end,
            "has_several": is_section,
            "between": "" if is_section else "\n",
            **rest,
        },
        CallStyle,
    )


def _without_ids(text: str) -> str:
    """The text with something else in place of the id or the number of a call."""
    text = re.sub(r"known000[12]", ANY, text)
    return re.sub(r"(?<=[:\"])[0-9]+(?=[<\"])", ANY, text)


def _from_marker(text: str) -> str:
    """The text from where a tag begins in it: what is common to two texts may begin in the middle of one."""
    found = _MARKER_BEGIN.search(text)
    return text[found.start() :] if found else text if not text.strip() else ""


def _up_to_marker(text: str) -> str:
    """The text without the beginning of a tag at its end."""
    opened = max(text.rfind("<"), text.rfind("["))
    return text[:opened] if opened > max(text.rfind(">"), text.rfind("]")) else text

"""Liquid, as far as a mail needs it: a closed list of tags and filters, every unknown name refused, and bounds on all that a template can ask for.

A template is written by somebody of an organisation and run by the sender of all of them. So nothing in it can load another template, reach an
attribute of a Python object, mark a text as safe, run for long, or grow: loops are counted over the whole template, values have a length, filters
look at the clock. In HTML every value is escaped.
"""

import html
import time
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from functools import wraps
from typing import Any, Final, Protocol, TextIO
from urllib.parse import quote
from zoneinfo import ZoneInfo

from liquid import BoundTemplate, Environment, Markup, RenderContext, TokenStream
from liquid.ast import BlockNode, Node
from liquid.builtin.content import ContentNode, Literal
from liquid.builtin.illegal import Illegal
from liquid.builtin.output import Output
from liquid.builtin.tags import assign_tag, capture_tag, case_tag, comment_tag, cycle_tag, for_tag, if_tag, inline_comment_tag, unless_tag
from liquid.exceptions import FilterArgumentError, LiquidError, LoopIterationLimitError, ResourceLimitError
from liquid.filter import with_context
from liquid.parser import get_parser
from liquid.tag import Tag
from liquid.token import TOKEN_EXPRESSION, TOKEN_TAG, Token
from liquid.undefined import FalsyStrictUndefined
from liquid.utils import ReadOnlyChainMap

from notifications.rendering import pieces, targets

LONGEST_OUTPUT: Final = 400_000  # bytes of one part
LONGEST_VALUE: Final = 10_000  # characters that a filter takes or gives
LONGEST_LOCALS: Final = 200_000  # bytes of what is assigned and captured
WORK: Final = 1_000_000  # rounds of all loops, times the characters of Liquid in the template
FEWEST_ROUNDS: Final = 100
SECONDS: Final = 1.0  # for one part of one mail
LONGEST_DATE: Final = 64

TAGS: Final = (
    *(Literal, Output, Illegal),  # text, and what stands in {{ }}
    *(assign_tag.AssignTag, capture_tag.CaptureTag, case_tag.CaseTag, comment_tag.CommentTag, cycle_tag.CycleTag, for_tag.ForTag, for_tag.BreakTag),
    *(for_tag.ContinueTag, if_tag.IfTag, inline_comment_tag.InlineCommentTag, unless_tag.UnlessTag),
)
FILTERS: Final = (  # noqa: SIM905
    "abs append at_least at_most capitalize ceil default divided_by downcase escape escape_once first floor join last lstrip minus "
    "modulo newline_to_br plus prepend remove remove_first replace replace_first round rstrip size slice split squish strip "
    "strip_newlines times truncate truncatewords upcase url_encode"
).split()  # and date, which is our own


class TooMuch(ResourceLimitError):
    """The template asks for more than it may have."""


class Missing(FalsyStrictUndefined):
    """What a shopper has not. It may be asked about (if, default), and not be written."""

    allowed_properties = FalsyStrictUndefined.allowed_properties | {"force_liquid_default"}
    force_liquid_default = True


class Addresses(Protocol):
    """Where the links of one mail lead."""

    def click(self, number: int) -> str:
        """Of the content's targets."""

    def to(self, target: str) -> str:
        """Of a target that is this shopper's alone."""

    def pixel(self) -> str:
        """Or nothing, where nobody wants to know."""

    def unseen(self) -> str:
        """The link that no person sees, or nothing."""


class Buffer:
    """What is written, piece by piece, up to a length."""

    __slots__ = ("left", "pieces")

    def __init__(self, left: int = LONGEST_OUTPUT) -> None:
        self.left = left
        self.pieces: list[str] = []

    def write(self, piece: str) -> int:
        self.left -= len(piece)
        if self.left < 0:
            raise TooMuch("It becomes too long.", token=None)
        self.pieces.append(piece)
        return len(piece)

    def getvalue(self) -> str:
        return "".join(self.pieces)


class Context(RenderContext):
    """Counts the rounds of all loops together, and knows when its time is over."""

    __slots__ = ("addresses", "rounds", "until")

    def __init__(self, template: BoundTemplate, *, addresses: Addresses | None = None, **how: Any) -> None:
        super().__init__(template, **how)
        self.addresses = addresses
        self.rounds = getattr(template, "rounds", FEWEST_ROUNDS)
        self.until = time.monotonic() + SECONDS
        self.scope = ReadOnlyChainMap(self.locals, self.globals, self.counters)  # without `now` and `today`, which would be the server's

    def get_buffer(self, buf: Any = None) -> Any:
        return Buffer(buf.left) if isinstance(buf, Buffer) else Buffer()

    def raise_for_loop_limit(self, length: int = 1) -> None:
        self.rounds -= length
        if self.rounds < 0:
            raise LoopIterationLimitError("The loops go round too often.", token=None)
        self.in_time()

    def in_time(self) -> None:
        if time.monotonic() > self.until:
            raise TooMuch("It takes too long.", token=None)


class Template(BoundTemplate):
    context_class = Context
    rounds = FEWEST_ROUNDS


def _small(value: Any) -> bool:
    kind = type(value)
    if kind is str or kind is Markup:
        return len(value) <= LONGEST_VALUE
    if kind is Missing:
        return True
    if isinstance(value, int):
        return value.bit_length() <= 128
    if isinstance(value, range):
        return len(range(value.start, min(value.stop, value.start + LONGEST_VALUE + 1))) <= LONGEST_VALUE
    return not isinstance(value, list) or (len(value) <= LONGEST_VALUE and sum(len(one) for one in value if isinstance(one, str)) <= LONGEST_VALUE)


def _bounded(inner: Callable[..., Any], *, contextual: bool) -> Callable[..., Any]:
    """The filter, for values of a length, while there is time."""

    @with_context
    @wraps(inner)
    def filtered(value: Any, *args: Any, context: Context, **kwargs: Any) -> Any:
        context.in_time()
        if not _small(value) or (args and not all(map(_small, args))):
            raise TooMuch("A value is too long.", token=None)
        found = inner(value, *args, **({**kwargs, "environment": context.env} if contextual else kwargs))
        if not _small(found):
            raise TooMuch("A value becomes too long.", token=None)
        return found

    return filtered


def _growing(inner: Callable[..., Any], factor: Callable[..., int]) -> Callable[..., Any]:
    """A filter that could multiply two lengths: refused before it does."""

    @wraps(inner)
    def careful(value: Any, *args: Any, **kwargs: Any) -> Any:
        if factor(value, *args) > LONGEST_VALUE:
            raise TooMuch("A value becomes too long.", token=None)
        return inner(value, *args, **kwargs)

    return careful


def _replaced(value: Any, old: Any = "", new: Any = "", *_: Any) -> int:
    return str(value).count(str(old)) * len(str(new))


def _joined(value: Any, between: Any = " ", *_: Any) -> int:
    return len(value) * len(str(between)) if isinstance(value, list | str) else 0


@with_context
def _date(value: Any, form: Any, *, context: Context) -> str:
    """A day or an instant (ISO 8601, or the word now) in strftime's terms. `now` is on the shopper's clock."""
    if not (isinstance(form, str) and len(form) <= LONGEST_DATE):
        raise FilterArgumentError("A date takes a form as %d.%m.%Y.", token=None)
    try:
        return _moment(value, context).strftime(form)
    except ValueError:
        raise FilterArgumentError("This is no date.", token=None) from None


def _moment(value: Any, context: Context) -> date:
    if value in ("now", "today"):
        clock = context.globals.get("_clock")
        return datetime.now(ZoneInfo(clock) if isinstance(clock, str) and clock else UTC)
    if isinstance(value, str) and len(value) <= LONGEST_DATE:
        return datetime.fromisoformat(value)
    raise FilterArgumentError("This is no date.", token=None)


# What a mail begins to be told by, and a link that only who follows every link follows. Both for our eyes alone.
_PIXEL: Final = '<img src="{}" width="1" height="1" alt="" style="display:block;width:1px;height:1px;border:0">'
_UNSEEN: Final = '<a href="{}" style="display:none" tabindex="-1" aria-hidden="true"></a>'


class _Address(Node):
    """`{% click 3 %}`, `{% pixel %}`, `{% unseen %}`: never written by people, put in where a link stood."""

    def __init__(self, token: Token, number: int) -> None:
        super().__init__(token)
        self.number, self.blank = number, False

    def render_to_output(self, context: RenderContext, buffer: TextIO) -> int:
        assert isinstance(context, Context) and context.addresses
        known, name = context.addresses, self.token.value
        if name == "click":
            target = known.click(self.number)
            return buffer.write(html.escape(target) if context.autoescape else target)
        address, frame = (known.pixel(), _PIXEL) if name == "pixel" else (known.unseen(), _UNSEEN)
        return buffer.write(frame.format(address)) if address else 0


class _AddressTag(Tag):
    block = False

    def parse(self, stream: TokenStream) -> Node:
        token = stream.current
        if token.value != "click":
            return _Address(token, 0)
        next(stream)
        return _Address(token, int(stream.expect(TOKEN_EXPRESSION).value))


class _Click(_AddressTag):
    name = "click"


class _Pixel(_AddressTag):
    name = "pixel"


class _Unseen(_AddressTag):
    name = "unseen"


class _LinkNode(Node):
    """`{% link %}https://shop.example/{{ attributes.code }}{% endlink %}`: a target that has to be written before it is known."""

    def __init__(self, token: Token, block: BlockNode) -> None:
        super().__init__(token)
        self.block, self.blank = block, False

    def render_to_output(self, context: RenderContext, buffer: TextIO) -> int:
        assert isinstance(context, Context) and context.addresses
        written = context.get_buffer(buffer)
        self.block.render(context, written)
        target = html.unescape(written.getvalue()) if context.autoescape else written.getvalue()
        if target.startswith(("mailto:", "tel:")):
            return buffer.write(html.escape(quote(target, safe="@:?=&+%.,")))
        try:
            led = context.addresses.to(targets.web(target))
        except targets.Refused as refused:
            raise LiquidError(f"A link leads nowhere ({refused.why}).", token=None) from None
        return buffer.write(html.escape(led) if context.autoescape else led)


class _Link(Tag):
    name = "link"
    end = "endlink"

    def parse(self, stream: TokenStream) -> Node:
        token = stream.eat(TOKEN_TAG)
        block = get_parser(self.env).parse_block(stream, frozenset((self.end,)))
        stream.expect(TOKEN_TAG, value=self.end)
        return _LinkNode(token, block)


OURS: Final = (_Click, _Pixel, _Unseen, _Link)
ALL_NAMES: Final = pieces.NAMES | {"click", "pixel", "unseen", "link", "endlink"}


class Liquid(Environment):
    """`autoescape` for HTML. `ours`: also with the tags that stand for links. What it compiles is rendered by `write`."""

    template_class = Template
    local_namespace_limit = LONGEST_LOCALS
    block_nesting_limit = 20
    context_depth_limit = 25

    def __init__(self, *, autoescape: bool, ours: bool = False) -> None:
        self.ours = ours
        super().__init__(autoescape=autoescape, undefined=Missing)

    def setup_tags_and_filters(self, *, extra: bool = False) -> None:
        super().setup_tags_and_filters(extra=False)
        whole = self.filters
        self.tags = {tag.name: tag(self) for tag in (*TAGS, *(OURS if self.ours else ()))}
        growing: dict[str, Callable[..., int]] = {"replace": _replaced, "replace_first": _replaced, "join": _joined}
        self.filters = {}
        for name in FILTERS:
            inner = _growing(whole[name], growing[name]) if name in growing else whole[name]
            self.filters[name] = _bounded(inner, contextual=getattr(whole[name], "with_environment", False))
        self.filters["date"] = _date

    def compile(self, source: str) -> Template:
        """Raises LiquidError, Unreadable."""
        liquid = sum(piece.end - piece.start for piece in pieces.find(source, ALL_NAMES if self.ours else pieces.NAMES))
        made = self.from_string(source)
        assert isinstance(made, Template)
        made.rounds = max(FEWEST_ROUNDS, WORK // (liquid or 1))
        return made


def write(template: Template, facts: Mapping[str, object], addresses: Addresses | None = None) -> str:
    """Raises LiquidError: what is missing, or too much. Whatever else a template manages to break ends as one, too."""
    return "".join(pieces_of(template, facts, addresses))


def pieces_of(template: Template, facts: Mapping[str, object], addresses: Addresses | None = None) -> list[str]:
    """The same, in pieces: those that `fixed` names, and what is written between them."""
    context = Context(template, globals=facts, addresses=addresses)
    buffer = Buffer()
    try:
        for node in template.nodes:
            if type(node) is ContentNode:
                buffer.write(node.text)
            else:
                node.render(context, buffer)  # type: ignore[arg-type]
    except LiquidError:
        raise
    except Exception as error:  # numbers too long to be written, a depth that Python does not go to: a template's own doing
        raise LiquidError(type(error).__name__, token=None) from error
    return buffer.pieces


def fixed(template: Template) -> set[str]:
    """The pieces of the template that are no Liquid."""
    found, left, context = set(), list(template.nodes), RenderContext(template)
    while left:
        node = left.pop()
        if type(node) is ContentNode:
            found.add(node.text)
        left += node.children(context, include_partials=False)
    return found

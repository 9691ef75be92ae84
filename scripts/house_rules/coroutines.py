"""What must not be written in a coroutine.

g++ 12 frees some temporaries of a co_await expression twice (capturing lambdas, aggregates, arms of
?:), and in every compiler a capturing lambda that is a coroutine outlives its captures. Clang 19
compiles the first kind correctly; the rule stays so that any compiler may build this.
"""
import re

_AWAIT = re.compile(r"\bco_(await|yield)\b")
_STATEMENT_HEADS = ("if", "while", "switch", "for")
_OPENING, _CLOSING = "([{", ")]}"


def check(sources):
    for source in sources.values():
        if source.is_cpp and "co_" in source.code:
            yield from _await_expressions(source)
            yield from _lambda_coroutines(source)


def _await_expressions(source):
    code = source.code
    reported = set()
    for match in _AWAIT.finditer(code):
        start, end = _expression(code, match.start())
        if start in reported:
            continue
        reported.add(start)
        for offset in range(start, end):
            found = _offence(code, offset)
            if found:
                yield source, source.line_at(offset), (
                    f"{found} in the same expression as co_await: make it a named object "
                    "on a line before")
                break


def _offence(code, offset):
    character = code[offset]
    if character == "{":
        return "a brace"
    if character == "?":
        return "a ?:"
    if character == "[" and _opens_lambda(code, offset):
        return "a lambda"
    return None


def _opens_lambda(code, offset):
    before = code[:offset].rstrip()[-1:]
    if before == "[" or code[offset + 1 : offset + 2] == "[":
        return False  # an attribute
    if before.isalnum() or before in ("_", ")", "]"):
        # A subscript, unless the word before is a keyword.
        return bool(re.search(r"\b(return|co_return|co_await|co_yield)\s*$", code[:offset]))
    return True


def _expression(code, offset):
    """The full expression around `offset`: back to its statement's start, on to its end."""
    start = _expression_start(code, offset)
    return start, _expression_end(code, start, offset)


def _expression_start(code, offset):
    depth = 0
    for at in range(offset - 1, -1, -1):
        character = code[at]
        if character in ")]":
            depth += 1
        elif character in "([":
            if depth == 0 and character == "(" and _heads_statement(code, at):
                return at + 1
            depth = max(0, depth - 1)
        elif depth == 0 and character == ";":
            return at + 1
        elif depth == 0 and character in "{}" and _is_block_brace(code, at):
            return at + 1
    return 0


def _expression_end(code, start, offset):
    depth = 0
    for at in range(start, len(code)):
        character = code[at]
        if character in _OPENING:
            if character == "{" and depth == 0 and at > offset and _is_block_brace(code, at):
                return at
            depth += 1
        elif character in _CLOSING:
            depth -= 1
            if depth < 0:
                return at
        elif character == ";" and depth == 0 and at > offset:
            return at
    return len(code)


def _heads_statement(code, parenthesis):
    return bool(re.search(r"\b(" + "|".join(_STATEMENT_HEADS) + r")( constexpr)?\s*$",
                          code[:parenthesis]))


def _is_block_brace(code, at):
    """Whether the brace belongs to a block, and not to an initialiser.

    clang-format puts a space before a block's opening brace and none before an initialiser's.
    """
    if code[at] == "}":
        opening = _matching_opening(code, at)
        return opening is None or _is_block_brace(code, opening)
    if at == 0 or code[at - 1] in "\n;":
        return True
    if code[at - 1] != " ":
        return False
    return not re.search(r"([=,(?:<]|\b(return|co_return|co_yield|co_await))\s*$", code[:at]) or \
        bool(re.search(r"\b(case\b[^;{}?]*|default|public|private|protected)\s*:\s*$", code[:at]))


def _matching_opening(code, closing):
    depth = 0
    for at in range(closing, -1, -1):
        if code[at] == "}":
            depth += 1
        elif code[at] == "{":
            depth -= 1
            if depth == 0:
                return at
    return None


_LAMBDA = re.compile(r"\[(?P<captures>[^\[\]]*)\]\s*(\((?P<parameters>[^{};]*?)\))?(?P<tail>[^(){};,]*)\{")


def _lambda_coroutines(source):
    code = source.code
    for match in _LAMBDA.finditer(code):
        if not match["captures"].strip() or not _opens_lambda(code, match.start()):
            continue
        body = code[match.end() - 1 : _matching_closing(code, match.end() - 1)]
        if re.search(r"\bco_(await|return|yield)\b", _without_inner_lambdas(body)):
            yield source, source.line_at(match.start()), (
                "a capturing lambda is a coroutine: its captures die with the lambda, its frame "
                "lives on; make it a function with parameters")


def _without_inner_lambdas(body):
    while True:
        match = _LAMBDA.search(body, 1)
        if not match:
            return body
        end = _matching_closing(body, match.end() - 1)
        body = body[: match.start()] + body[end:]


def _matching_closing(code, opening):
    depth = 0
    for at in range(opening, len(code)):
        if code[at] == "{":
            depth += 1
        elif code[at] == "}":
            depth -= 1
            if depth == 0:
                return at + 1
    return len(code)

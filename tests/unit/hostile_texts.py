"""What users may call a notebook or themselves, or write in a cell, so that a page runs it."""

from incidents import HOSTILE

XSS = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</title><svg/onload=alert(1)>",
    "{{ 7*7 }}{% raw %}",
    "javascript:alert(1)//",
    "</code></pre><iframe srcdoc='<script>alert(1)</script>'>",
    "</script><script>alert(1)</script>",
    "--><a href=javascript:alert(1)>x</a>",
    "<template><style>*{display:none}</style></template><math><mtext></form><img src onerror=alert(1)>",
    HOSTILE,
]

"""Text subtitles from one codec's packets to another's, keeping the words and line breaks; styling is left behind."""

import html
import re

TEXT_CODECS = ("subrip", "srt", "ass", "ssa", "webvtt", "mov_text", "text")


def text_codec(container: str) -> str:
    """The text codec that `container` takes."""
    return {"mp4": "mov_text", "mov": "mov_text", "webm": "webvtt", "matroska": "subrip"}[container]


def plain_text(data: bytes, codec: str) -> str:
    """The words of one packet of `codec`, lines parted by newlines."""
    if codec == "mov_text":  # two bytes of length, the text, then boxes of styles
        return data[2 : 2 + int.from_bytes(data[:2], "big")].decode("utf-8", "replace").strip()
    text = data.decode("utf-8", "replace").replace("\r\n", "\n").rstrip("\0")
    if codec in ("ass", "ssa"):  # ReadOrder,Layer,Style,Name,MarginL,MarginR,MarginV,Effect,Text
        text = text.split(",", 8)[-1]
        text = re.sub(r"\{[^}]*\}", "", text)
        text = text.replace("\\N", "\n").replace("\\n", "\n").replace("\\h", " ")
    else:
        text = re.sub(r"</?[a-zA-Z][^>]*>|\{\\[^}]*\}", "", text)
        if codec == "webvtt":
            text = html.unescape(text)
    return text.strip()


def to_sample(text: str, codec: str) -> bytes:
    """One packet of `codec` that says `text`."""
    if codec == "mov_text":
        body = text.encode()[:65535]
        return len(body).to_bytes(2, "big") + body
    if codec == "webvtt":
        return html.escape(text, quote=False).encode()
    return text.encode()

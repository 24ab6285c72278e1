from offchain.domain.text import plain


def test_anybody_s_words_are_one_printable_line() -> None:
    assert plain("EV\nIL\x1b[31m\u202e") == "EV\\nIL\\x1b[31m\\u202e"
    assert plain("h\u00e9 \u20bf") == "h\u00e9 \u20bf"

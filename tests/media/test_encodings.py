"""Text whose encoding nothing names."""

import pytest

from cmarr.media.encodings import decoded

HEAD = "1\n00:00:00,000 --> 00:00:01,500\n"
WRITTEN = {
    "gbk": ["我感觉很好", "你好", "今天天气真好，我们去公园散步吧。", "我不知道你在说什么"],
    "big5": ["我感覺很好", "今天天氣真好，我們去公園散步吧。"],
    "shift_jis": ["こんにちは", "今日はとても良い天気ですね。", "ありがとう、元気です"],
    "euc_jp": ["今日はとても良い天気ですね。"],
    "euc_kr": ["안녕하세요", "오늘은 날씨가 정말 좋네요."],
    "iso2022_jp": ["はい", "もう我慢できない！"],
    "cp1251": ["Привет", "Мне очень хорошо сегодня", "Я не знаю, что делать.", "да", "НЕТ! Я НЕ ХОЧУ!"],
    "koi8_r": ["Привет, как дела?", "НЕТ! Я НЕ ХОЧУ!"],
    "iso8859_5": ["Я очень злюсь на тебя!"],
    "cp866": ["Привет, как дела?"],
    "cp1252": [
        "It’s a café.",
        "déjà vu",
        "Ça va très bien, merci à tous",
        "señor año",
        "Müller größer",
        "naïve",
    ],
    "cp1250": ["Příliš žluťoučký kůň", "Cześć, jak się masz? Dziękuję, świetnie."],
    "cp1253": ["Καλημέρα, τι κάνεις;"],
    "cp1254": ["Teşekkürler, iyiyim. Günaydın"],
    "iso8859_2": ["Cześć, dziękuję", "Příliš žluťoučký kůň"],
    "mac_roman": ["Je suis très fâché contre toi !"],
    "cp874": ["ฉันโกรธคุณมาก"],
    "cp1255": ["שלום, מה שלומך?", "אני מאוד כועס עליך!"],
    "cp1256": ["مرحبا كيف حالك"],
    "utf-16-le": ["well done", "Привет", "我感觉很好"],
    "utf-16-be": ["well done", "Привет"],
}


@pytest.mark.parametrize("head", ["", HEAD])
@pytest.mark.parametrize("codec", WRITTEN)
def test_a_few_words_tell_their_encoding(codec, head):
    for text in WRITTEN[codec]:
        content = f"{head}{text}\n"
        found, guess = decoded(content.encode(codec))
        assert found == content and guess


@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_what_is_marked_is_no_guess(codec):
    assert decoded("It’s 好".encode(codec)) == ("It’s 好", None)


def test_a_damaged_letter_costs_no_other():
    content = "Ça va très bien, merci à tous: 我感觉很好".encode()
    text, guess = decoded(content[:-1])
    assert text == "Ça va très bien, merci à tous: 我感觉很\ufffd" and "damaged" in guess


def test_the_sample_may_end_within_a_letter():
    content = "我感觉很好" * 14_000
    assert decoded(content.encode("gbk")) == (content, "GB 18030 (Chinese)")

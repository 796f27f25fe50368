"""In which encoding bytes were written, where nothing says so: the one in which they read like a language.

Guessed from how often letters occur, because a caption or a cell holds a few words: too few for detectors that are
made for pages.
"""

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise

SAMPLE = 1 << 16
"""Bytes that are looked at; a guess from more would be the same."""

LIKELY = 0.35
"""Score below which bytes read like no language; they are then Windows-1252, the encoding of most old corpora."""

UPPER = 0.4
"""Share of bytes below 8, which no text holds, at even or at odd places, above which that is UTF-16."""

_COMMON = {
    "zh-Hans": "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过发后作里"
    "用道行所然家种事成方多经么去法学如都同现当没动面起看定天分还进好小部其些主样理心她本前开但因只从想实"
    "日军者意无力它与长把机十民第公此已工使情明性知全三又关点正业外将两高间由问很最重并物手应战向头文体政"
    "美相见被利什二等产或新己制身果加斯月话合回特代内信表化老给世位次度门任常先海通教儿原东声提立及比员解"
    "水名真论处走义各入几口认条平系气题活尔更别打女变四神总何电数安少报才结反受目太量再感建务做接必场件计"
    "管期市直德资命山金指克许统区保至队形社便空决治展马科司五基眼书非则听白却界达光放强即像难且权思王象完"
    "设式色路记南品住告类求据程北边死张该交规万取拉格望觉术领共确传师观清今切院让识候带导争运笑吗吧呢啊爱"
    "喜欢谢请再错怎怕累快乐哭气恨",
    "zh-Hant": "的一是不了在人有我他這個們中來上大為和國地到以說時要就出會可也你對生能而子那得於著下自之年過發後作裡"
    "用道行所然家種事成方多經麼去法學如都同現當沒動面起看定天分還進好小部其些主樣理心她本前開但因只從想實"
    "日軍者意無力它與長把機十民第公此已工使情明性知全三又關點正業外將兩高間由問很最重並物手應戰向頭文體政"
    "美相見被利什二等產或新己制身果加月話合回特代內信表化老給世位次度門任常先海通教兒原東聲提立及比員解水"
    "名真論處走義各入幾口認條平系氣題活更別打女變四神總何電數安少報才結反受目太量再感做接必場件計管期市直"
    "資命山金指許統區保至隊形社便空決聽白卻達光放強像難且思完式色路記南住告類求北邊死張該交望覺術領共確今"
    "讓嗎吧呢啊愛喜歡謝請錯怎怕累快樂哭恨",
    "ko": "이다는의에을가고하지로한은도를어사들그아나기자리서있해시대인전수일정것에게요라니만보장여들으면안제부"
    "상오원우스과와구성주경소조세말동공당관국위할마생유문신치년회화연선계연물모방내개재실무비민중교적직진"
    "결음미조작외양차체반본요없같알었했였겠습까네너때런데거저무좋정말감합녕세날씨늘왜뭐어떻게더잘못싫사랑"
    "해울고웃파행복슬픈화난두려움괜찮아고마워미안",
    "ja": "日一人大年中会本月長国出上十生子分東三行同今高金時手見市力米自前円合立内二事社者地京間田体学下目五後"
    "新明方部女八心四民対主正代言九小思七山実入回場野開万全定家北六問話文動度県水安氏和政保表道相意発不党"
    "気私僕君好何食悲嬉怒怖笑泣元楽良天本当",
}
"""Frequent characters of languages that are written with thousands of them."""

_LETTERS = {
    "ru": "оеаинтсрвлкмдпуяыьгзбчйхжшюцщэфъё",
    "el": "αοιεηντσρκλπμυςίάωόέύήδγθχφβξώζψϊϋ",
    "he": "יוהלאמרתבשנםחקפעדטכצזגןךסף\u05e5",
    "ar": "اليمنوترهبدعكسفقحجشىةصأخطضذغإزثءظآؤئ",
    "west": "éàèíáóçäöüñúêßãîâôõøåæëïûù’‘“”…«»–—¿¡°´·òìœÿ€š",
    "central": "áíéąężłóšřčýžěńćśöüäůúßź„”“…–—’őűňťďşţăâî",
    "tr": "ıüşğçöİŞâ’“”…ÜÖÇîû",
    "th": "านรกอเมยงลวดทคตปสหบพชขจใไแผณซธถศฉญภฟัี่้ิ์็ืุูาะำโๆ",
}
"""Letters that are not ASCII, those that occur most often first."""

_WORDS = {
    "ru": "я ты он она мы вы они не да нет и в на что это как но с так а то все всё мне меня тебя очень хочу почему"
    " привет",
    "el": "και το να η ο δεν είναι θα με του τι σε για που στο μου σου ναι όχι",
    "he": "אני לא את אתה זה מה כן על של הוא היא לי לך מאוד אבל כל למה שלום",
    "ar": "من في لا ما هذا أنا على أن هو هي نعم كل إلى لم جدا يا لماذا مرحبا",
}
"""Words of languages that are short enough to be mistaken for those of another."""

_LAST = frozenset("ךםןףץς")
"""Letters that only end a word."""


def _common(language: str) -> Callable[[str], float]:
    known = frozenset(_COMMON[language])

    def worth(letter: str) -> float:
        if letter in known:
            return 1.0
        code = ord(letter)
        if language == "ja" and 0x3041 <= code <= 0x30FF:
            return 1.0
        if (
            0x3000 <= code < 0x3020 or 0xFF01 <= code < 0xFF60
        ):  # full stops, brackets and letters of full width
            return 0.8
        own = 0xAC00 <= code < 0xD7A4 if language == "ko" else 0x4E00 <= code < 0xA000
        return 0.3 if own else 0.0

    return worth


def _letters(language: str) -> Callable[[str], float]:
    order = _LETTERS[language]
    latin = language in ("west", "central", "tr")
    # of an alphabet the text holds all letters, the rare ones seldom; of Latin ones it holds few that are not ASCII
    worth = {c: (1.0 if i < 16 else 0.7) if latin else math.exp(-i / 12) + 0.2 for i, c in enumerate(order)}

    def of(letter: str) -> float:
        return worth.get(letter, worth.get(letter.lower(), 0.0) * 0.9)

    return of


@dataclass(frozen=True)
class _Candidate:
    """A codec, what it is called, and how likely a character that is not ASCII is in the languages written in it."""

    codec: str
    name: str
    worth: Callable[[str], float]
    prior: float = 1.0
    latin: bool = False
    words: frozenset[str] = frozenset()


def _alphabet(codec: str, name: str, language: str, prior: float = 1.0) -> _Candidate:
    return _Candidate(codec, name, _letters(language), prior, words=frozenset(_WORDS[language].split()))


_CANDIDATES = (
    _Candidate("gb18030", "GB 18030 (Chinese)", _common("zh-Hans")),
    _Candidate("cp932", "Shift-JIS (Japanese)", _common("ja")),
    _Candidate("cp949", "EUC-KR (Korean)", _common("ko")),
    _Candidate("cp950", "Big5 (Chinese)", _common("zh-Hant")),
    _Candidate("euc_jp", "EUC-JP (Japanese)", _common("ja")),
    _Candidate("cp1252", "Windows-1252 (Western)", _letters("west"), latin=True),
    _alphabet("cp1251", "Windows-1251 (Cyrillic)", "ru"),
    _alphabet("koi8_r", "KOI8-R (Cyrillic)", "ru", 0.98),
    _alphabet("iso8859_5", "ISO 8859-5 (Cyrillic)", "ru", 0.9),
    _alphabet("cp866", "DOS 866 (Cyrillic)", "ru", 0.95),
    _Candidate("cp1250", "Windows-1250 (Central European)", _letters("central"), 0.97, latin=True),
    _Candidate("iso8859_2", "ISO 8859-2 (Central European)", _letters("central"), 0.9, latin=True),
    _Candidate("mac_roman", "Mac Roman (Western)", _letters("west"), 0.75, latin=True),
    _Candidate("cp850", "DOS 850 (Western)", _letters("west"), 0.75, latin=True),
    _Candidate("cp874", "Windows-874 (Thai)", _letters("th"), 0.97),
    _Candidate("cp1254", "Windows-1254 (Turkish)", _letters("tr"), 0.97, latin=True),
    _alphabet("cp1253", "Windows-1253 (Greek)", "el", 0.97),
    _alphabet("cp1255", "Windows-1255 (Hebrew)", "he", 0.96),
    _alphabet("cp1256", "Windows-1256 (Arabic)", "ar", 0.94),
    *(
        _Candidate(codec, "UTF-16", worth, 0.9)
        for codec in ("utf-16-le", "utf-16-be")
        for worth in map(_common, _COMMON)
    ),
)

_MARKS = (
    (b"\xef\xbb\xbf", "utf-8"),
    (b"\xff\xfe\0\0", "utf-32-le"),
    (b"\0\0\xfe\xff", "utf-32-be"),
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
)
"""What stands at the beginning of a file that says how it is written."""

_SWITCH = b"\x1b$"


def decoded(content: bytes) -> tuple[str, str | None]:
    """The text that bytes hold, and which encoding that was, where it was guessed: None for UTF-8 and what is marked.

    Never fails: what has no meaning becomes U+FFFD, and counts as guessed.

    >>> decoded("我感觉很好".encode("gbk"))
    ('我感觉很好', 'GB 18030 (Chinese)')
    """
    for mark, codec in _MARKS:
        if content.startswith(mark):
            return content[len(mark) :].decode(codec, "replace"), None
    if wide := _without_mark(content):
        return content.decode(wide, "replace"), "UTF-16"
    try:
        if _SWITCH in content:  # to kanji, and otherwise no byte beyond ASCII
            return content.decode("iso2022_jp"), "ISO-2022-JP (Japanese)"
        return content.decode("utf-8"), None
    except UnicodeDecodeError:
        pass
    if _damaged_utf8(content):
        return content.decode("utf-8", "replace"), "UTF-8 with damaged letters"
    best = max(_CANDIDATES, key=lambda candidate: _score(content[:SAMPLE], candidate))
    western = next(c for c in _CANDIDATES if c.codec == "cp1252")
    text = content.decode(western.codec, "replace")
    likely = _score(content[:SAMPLE], best) >= LIKELY
    if (
        not likely or content.decode(best.codec, "replace") == text
    ):  # of equals, what most files are written in
        return text, western.name
    return content.decode(best.codec, "replace"), best.name


def _without_mark(content: bytes) -> str | None:
    """UTF-16 without its mark, told by the upper halves of letters of small alphabets, digits and blanks."""
    sample = content[:SAMPLE]
    if len(content) % 2 or len(sample) < 4:
        return None
    even, odd = (sum(byte < 8 for byte in half) / len(half) for half in (sample[::2], sample[1::2]))
    if max(even, odd) < UPPER or min(even, odd) > max(even, odd) / 10:
        return None
    return "utf-16-be" if even > odd else "utf-16-le"


def _damaged_utf8(content: bytes) -> bool:
    """Whether most of what is not ASCII is whole UTF-8: by chance that hardly happens in another encoding."""
    text = content[:SAMPLE].decode("utf-8", "replace")
    broken = text.count("\ufffd")
    whole = sum(c > "\x7f" for c in text) - broken
    return whole > 4 * broken


def _score(content: bytes, candidate: _Candidate) -> float:
    """How much bytes read like a language in an encoding, 0 to about 1."""
    try:
        text = content.decode(candidate.codec)
    except UnicodeDecodeError as error:
        if len(content) < SAMPLE or error.start < SAMPLE - 4:
            return 0.0
        text = content[: error.start].decode(candidate.codec)  # a letter that the sample cuts in two
    letters = [c for c in text if c > "\x7f"]
    if not letters or any("\x80" <= c < "\xa0" or "\ue000" <= c < "\uf900" or c < "\t" for c in text):
        return 0.0
    worth = sum(map(candidate.worth, letters)) / len(letters)
    oddness = _oddness(pairwise(text), len(letters), candidate.latin)
    return candidate.prior * worth * (1 - oddness) * (1 + _known(text, candidate.words))


def _known(text: str, words: frozenset[str]) -> float:
    """How many of the words of a text that are not ASCII are among those of a language, as a share."""
    found = [word for word in re.findall(r"\w+", text.lower()) if not word.isascii()] if words else []
    return sum(word in words for word in found) / len(found) if found else 0.0


def _oddness(pairs: Iterable[tuple[str, str]], letters: int, latin: bool) -> float:
    """Share of places where no language has such neighbours: a capital behind a small letter, two alphabets in a word.

    Latin letters that are not ASCII stand among those that are; of other alphabets, hardly one does.
    """
    odd = 0.0
    for left, right in pairs:
        if not (left.isalpha() and right.isalpha()):
            continue
        other = (left > "\x7f") + (right > "\x7f")
        odd += bool(other) and (left in _LAST or (left.islower() and right.isupper()))
        odd += 0.5 * (other == 2) if latin else 0.5 * (other == 1)
    return min(odd / letters, 1.0)

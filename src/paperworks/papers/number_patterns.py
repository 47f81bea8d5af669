"""The forms that numbers take in Korean and English texts, and what next to a number makes it none."""

from __future__ import annotations

import re

# One character for another, so that offsets stay.
PLAIN = str.maketrans(
    "０１２３４５６７８９％，．−＋～〜∼（）：／\u00a0\u2009\u202f\u2011\u2010＄",
    "0123456789%,.-+~~~():/   --$",
)
SUPER = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
DIGITS = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?"
NUMBER = re.compile(
    rf"(?P<number>{DIGITS}|(?<![\d.])\.\d+)"
    r"(?P<power>[eE][+-]?\d+|\s?[×x*·]\s?10(?:\s?\^\s?\{?\s?[-–]?\s?\d+\}?|[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+))?"
)
POWER_OF_TEN = re.compile(r"(?<![\d.,])10(?:\^\{?([-–]?\d+)\}?|([⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+))")
POWER = re.compile(r"(\d{1,3})(?:\s?\^\s?\{?(\d{1,2})\}?|([⁰¹²³⁴⁵⁶⁷⁸⁹]{1,2}))(?![\d.])")
KOREAN = {"십": 1e1, "백": 1e2, "천": 1e3, "만": 1e4, "억": 1e8, "조": 1e12}
KOREAN_MAGNITUDE = re.compile(
    r" ?((?:[십백천]?[만억조])|[백천](?![가-힣])|[백천](?= ?(?:개|명|장|건|편|가지|시간|배|달러|원|토큰|문장|단어|년|번|회|곳|종|쌍|대의|세트)))"
)
KOREAN_WORD = re.compile(
    r"(?<![가-힣\d])(?!조건|조장|천장|백장|만장)([십백천]?[만억조]|[백천])(?= ?(?:개|명|장|건|편|달러|토큰|문장|쌍|곳|배|시간))"
)
ENGLISH_MAGNITUDE = re.compile(
    r"[ -]?(hundred thousand|hundred million|hundred|thousand|million|billion|trillion|bn|mn)(?![A-Za-z])|"
    r"([KkMBT])(?![A-Za-z0-9])(?!-[a-z])|([KkMBT])(?=-(?:param|token|image|sample|scale|paper|word|model))| ([MBT])(?= (?:param|token))"
)
ENGLISH = {
    "hundred": 1e2,
    "thousand": 1e3,
    "hundred thousand": 1e5,
    "million": 1e6,
    "hundred million": 1e8,
    "billion": 1e9,
    "trillion": 1e12,
    "bn": 1e9,
    "mn": 1e6,
    "k": 1e3,
    "m": 1e6,
    "b": 1e9,
    "t": 1e12,
}
WORDS = {
    "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10,
    "eleven": 11, "twelve": 12, "thirteen": 13, "fourteen": 14, "fifteen": 15, "sixteen": 16, "seventeen": 17,
    "eighteen": 18, "nineteen": 19, "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60,
    "seventy": 70, "eighty": 80, "ninety": 90,
}  # fmt: skip
NATIVE = {
    "두": 2, "세": 3, "네": 4, "다섯": 5, "여섯": 6, "일곱": 7, "여덟": 8, "아홉": 9, "열": 10, "열한": 11,
    "열두": 12, "열세": 13, "열네": 14, "열다섯": 15, "열여섯": 16, "열일곱": 17, "열여덟": 18, "열아홉": 19,
    "스무": 20, "스물네": 24, "서른": 30, "마흔": 40,
}  # fmt: skip
ENGLISH_WORD = re.compile(
    r"(?<![A-Za-z-])((?:twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety)-(?:one|two|three|four|five|six|seven|"
    r"eight|nine)|"
    + "|".join(sorted(WORDS, key=len, reverse=True))
    + r"|(?:a|per|every|each) (?:hundred|thousand|million|billion)|"
    r"one hundred|one thousand|one million|one billion|one trillion|a dozen|two dozen|"
    r"one(?= (?:hour|minute|second|day|week|month|year|epoch|GPU|TPU|[AHV]\d+)))"
    r"(?![A-Za-z])(?=[ -]|[.,;:)])",
    re.IGNORECASE,
)
NATIVE_WORD = re.compile(
    r"(?<![가-힣])(" + "|".join(sorted(NATIVE, key=len, reverse=True)) + r") ?"
    r"(?=(?:개|명|장(?!기)|건|편|가지|종|곳|배(?!경|포)|번|차례|대(?!표)|단계|층|모델|언어|데이터|벤치마크|과제|작업|방법|시간|"
    r"달|쌍|세트|모듈|부분|그룹|유형|축|쪽|팀|사람|영역|분야|범주|요소|손실|네트워크|인코더|로봇|환경|언어))"
)
TIMES_WORD = re.compile(
    r"(?<![A-Za-z])(twice|thrice|doubl(?:es?|ed|ing)|tripl(?:es?|ed|ing)|quadrupl(?:es?|ed|ing)|halv(?:es|ed|ing)|"
    r"half|one half|(?:the|best|worst|top|bottom|lowest|highest)[ -](?:quarter|quartile)|(?:a|one|two|three|four)[ -](?:thirds?|quarters?|fourths?|fifths?|sixths?|sevenths?|eighths?|"
    r"ninths?|tenths?|twelfths?|fifteenths?|twentieths?|thirtieths?|fortieths?|fiftieths?|hundredths?))(?![A-Za-z])|(절반|반으로)",
    re.IGNORECASE,
)
PARTS = {
    "half": 2,
    "third": 3,
    "quartile": 4,
    "quarter": 4,
    "fourth": 4,
    "fifth": 5,
    "sixth": 6,
    "seventh": 7,
    "eighth": 8,
}
PARTS |= {
    "ninth": 9,
    "tenth": 10,
    "twelfth": 12,
    "fifteenth": 15,
    "twentieth": 20,
    "thirtieth": 30,
    "fortieth": 40,
}
PARTS |= {"fiftieth": 50, "hundredth": 100}
FRACTION = re.compile(
    r"(?<![\d./A-Za-z-])(?:(\d{1,4})\s?분의\s?(\d{1,4})|(1|2|3)/(\d{1,3})(?![\d/]))(?!\.\d)"
)
RANK = re.compile(r"(?<![A-Za-z])(?:ranks?|ranked|ranking|place[sd]?|comes?|finish\w*)(?: in)?(?: the)? (first|second|third|fourth|fifth)(?![A-Za-z])|(?<![A-Za-z])(first|second|third) (?:place|rank)(?![A-Za-z])", re.IGNORECASE)  # fmt: skip
ORDINALS = {"first": 1, "second": 2, "third": 3, "fourth": 4, "fifth": 5}

ABOUT = re.compile(
    r"(?:(?<![A-Za-z])(?:about|around|approximately|roughly|nearly|almost|some|circa|approx\.?|over|more than|at least|"
    r"up to|under|less than|fewer than|close to|just (?:over|under))|약|대략|거의|무려|(?<!\d)[~≈∼]|[><≥≤])\s?(?:\$|US\$)?$",
    re.IGNORECASE,
)
ABOUT_AFTER = re.compile(r"\s?(?:여|이상|이하|가량|정도|남짓|안팎|넘|미만|\+)")
PLACE = re.compile(
    r"(?<![A-Za-z가-힣])(?:tables?|tab\.|figures?|figs?\.?|sections?|sec\.|§|equations?|eqs?\.?|appendix|appendices|algorithms?|"
    r"chapters?|theorems?|lemmas?|propositions?|corollary|definitions?|versions?|ver\.|v|arxiv[ :]*|steps? (?=[1-9]\b)|phases?|stages?|levels?|lines?|no\.|"
    r"python|cuda|pytorch|top|rank|step|pages?|footnotes?|ref\.?|vol\.|pp?\.|epochs? (?=\d+ of)|day|task|type|part|group|case|experiment|"
    r"표|그림|식|수식|부록|알고리즘|정리|보조정리|버전|제|단계|각주)[ (]*(?:[A-Z]\.)?$",
    re.IGNORECASE,
)
FAMILY = re.compile(
    r"(?<![A-Za-z])(?:Llama|LLaMA|GPT|Gemini|Claude|Qwen|Phi|Mistral|Gemma|DeepSeek|Stable Diffusion|SDXL|SD|DALL·?-?E|PaLM|T5|BERT|Whisper|"
    r"Vicuna|Yi|Falcon|OPT|Pythia|Grok|Kimi|GLM|InternLM|InternVL|InternVideo|LLaVA|Nemotron|Command R|Imagen|Veo|Sora|Kling|Wan|"
    r"Flux|FLUX|CLIP|DINO|SAM|YOLO|COCO|ImageNet|WMT|SemEval|VOC|Kinetics|"
    r"KITTI|LibriSpeech|MMLU-Pro|Codex|Copilot|Windows|Ubuntu|RTX|GTX|Jetson|Xeon|Core|Android|iPhone|FLORES|"
    r"IWSLT|CoNLL|Common Crawl|ProofWiki|Switchboard|CHiME|ASVspoof|AIME|IMO|HMMT|GAIA|Chatbot Arena)[ -]?$"
)
YEAR = re.compile(r"(?:19[5-9]\d|20[0-4]\d)")
MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*\.?"
DATES = re.compile(
    rf"\d{{4}}-\d{{2}}-\d{{2}}|\d{{4}}년(?: ?\d{{1,2}}월(?: ?\d{{1,2}}일)?)?|\d{{1,2}}월(?: ?\d{{1,2}}일)?(?!간)|"
    rf"(?:\d{{1,2}} )?{MONTH} (?:\d{{1,2}}(?:st|nd|rd|th)?(?:, ?| ))?(?:19|20)\d\d|"
    rf"(?<![\d.])\d{{4}}\.\d{{4,5}}(?:v\d+)?(?![\d%])|{MONTH} \d{{1,2}}(?![\d.,]\d)(?=[ ,.])|20\d\ds|19\d\ds|\d0년대"
)
SHOT = re.compile(
    r"-? ?(?:shot|샷|D(?![A-Za-z])|d(?![A-Za-z])|차원(?= (?:공간|객체|물체|장면|재구성|포인트))|DoF|st order|월|학년|절|장에서|세기|호선|판)(?![a-z])|-(?:way|hop|gram)(?![a-z])"
)
DIMS = re.compile(r"\s?[×xX*]\s?(\d{1,5})(?![\d.,]*\d)(?!B|b)")
SHARED = re.compile(r",? (?:and|or|to) |[와과] | ?[/→] ?|에서 ")
OTHER = "other things"
HOURS = re.compile(r" ?(\d{1,2}) ?(분|min(?:utes?)?)(?![A-Za-z가-힣])")
COUNT_OF = re.compile(r"(?:의|인|짜리|규모의|분량의|단위의)?\s?")


def plain(text: str) -> str:
    """`text` with full-width digits, signs and odd spaces as their usual forms, at the same offsets."""
    return text.translate(PLAIN)

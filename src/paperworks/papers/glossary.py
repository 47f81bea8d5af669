"""The words of the field in Korean with what English papers call them: how a Korean sentence meets its English source.

Only stems, the longest first, so that particles and endings do not matter. A word may have several counterparts.
"""

from __future__ import annotations

import re

_LINES = """
정확도 정확 accuracy accurate correct | 오류율 오류 error | 처리량 throughput | 지연 latency delay | 메모리 memory
파라미터 매개변수 parameter | 사전학습 사전 pretrain pre-train | 미세조정 미세 finetun fine-tun tun | 학습률 rate lr learning
학습 훈련 train learn | 평가 evaluat assess benchmark test | 데이터셋 데이터 data dataset corpus | 이미지 사진 그림 image picture photo visual
영상 비디오 동영상 video clip | 음성 speech voice audio | 소리 오디오 audio sound | 번역 translat | 질문 질의 question query
답변 응답 answer respons | 문서 document | 문장 sentence | 단어 어휘 word vocabular | 언어 language lingual | 속도 speed fast rate veloc
빠르 빨라 가속 speed fast accelerat speedup quick | 느리 느려 slow | 비용 cost expens cheap price | 시간 time hour duration latency
추론 inferenc reason decod | 생성 generat | 검색 retriev search | 압축 compress | 양자화 quantiz quantis | 가지치기 prun
증류 distill | 층 레이어 layer | 헤드 head | 너비 폭 width | 깊이 depth | 로봇 robot | 성공률 성공 success | 실패 fail
그래프 graph chart plot | 차트 chart graph | 물체 객체 object | 개수 count number | 사람 인간 human people person | 사용자 user
벤치마크 benchmark | 점수 score | 평균 average mean | 중앙값 median | 최대 maximum max peak up most largest highest | 최소 minimum min least smallest
베이스라인 기준선 기준 baseline referenc | 교사 teacher | 학생 student | 토큰 token | 문맥 컨텍스트 맥락 context | 길이 length long
배치 batch | 스텝 step iteration | 에폭 에포크 epoch | 해상도 resolution | 프레임 frame | 재현율 recall | 정밀도 precision | 손실 loss
향상 개선 증가 상승 높아 improv increas gain higher boost rais better | 감소 하락 줄어 줄였 줄이 낮아 낮췄 절감 단축 reduc decreas drop lower fewer less sav cut short shrink
전력 power energy watt | 에너지 energy | 크기 규모 size scale | 작은 소형 경량 small tiny compact light | 큰 대형 거대 large big
코드 코딩 code cod program | 수학 math | 의료 의학 임상 medic clinic health | 법률 legal law | 금융 financ | 환자 patient | 화학 chemi
분자 molecul | 단백질 protein | 유전자 gene genom | 물리 physic | 장면 scene | 깊이맵 depth | 카메라 camera | 자세 포즈 pose
얼굴 face facial | 손 hand | 걸음 보행 walk gait locomot | 이동 navigat mov | 조작 manipul | 비행 fly flight aerial drone | 드론 drone
시뮬레이션 simulat | 실제 현실 real | 강화 reinforc | 보상 reward | 정책 policy | 행동 action behavi | 환경 environment | 에이전트 agent
검증 validat verif | 시험 테스트 test | 훈련 train | 표본 샘플 sample exampl | 예제 예시 example instanc demonstrat | 과제 작업 task
도메인 분야 domain field area | 범주 카테고리 클래스 class categor type | 유형 종류 type kind categor | 라벨 레이블 label annotat | 주석 annotat
전문가 expert | 참가자 particip subject | 평가자 rater evaluator judge annotator | 번역가 translator | 화자 speaker | 인구 population
어텐션 주의 attention | 임베딩 embed | 인코더 encod | 디코더 decod | 확산 디퓨전 diffus | 트랜스포머 transformer | 합성곱 conv
합성 synthetic synthes | 전이 transfer | 정렬 align | 안전 safe | 유해 harm toxic | 편향 bias | 환각 hallucinat | 공격 attack advers
방어 defen | 탐지 검출 detect | 분할 segment | 분류 classif | 회귀 regress | 예측 predict forecast | 인식 recogni | 이해 understand comprehen
요약 summar | 대화 dialog convers chat | 지시 instruct | 프롬프트 prompt | 캡션 caption | 텍스트 text | 멀티모달 다중모달 multimodal multi-modal
오픈소스 공개 open releas public source | 상용 독점 proprietary commercial closed | 라이선스 licens | 다운로드 download | 모델 model
방법 기법 method approach techniqu | 알고리즘 algorithm | 구조 아키텍처 architectur structur | 모듈 module | 블록 block | 차원 dimension
채널 channel | 해석 interpret | 실험 experiment | 결과 result | 성능 perform | 효율 efficien | 품질 qualit | 충실 faithful fidelit
다양 divers | 선호 prefer | 승률 win | 비교 compar | 전체 모든 total all whole overall entire full | 절반 half | 나머지 rest remain
기존 이전 종래 previous prior exist earlier | 최고 최신 state-of-the-art sota best highest top | 원본 original | 새로운 새 new novel
초당 second per | 시간당 hour per | 하루 day | 분 minute | 초 second | 밀리초 millisecond ms | 단일 single one | 여러 multi several
긴 장문 long | 짧은 short | 캐시 cache | 대역폭 bandwidth | 통신 communicat | 서버 server | 장비 기기 device | 모바일 스마트폰 mobile phone
가속기 accelerat gpu | 그래디언트 기울기 gradient | 가중치 weight | 활성 activ | 희소 sparse spars | 밀집 dense | 전문 expert special
라우팅 라우터 rout | 잡음 노이즈 nois | 왜곡 distort | 복원 restor reconstruct recover | 재구성 reconstruct | 편집 edit | 스타일 style
애니메이션 animat | 음악 music | 게임 game | 웹 web | 표 table | 수식 formula equation | 도표 diagram figure chart | 지도 map
위성 satellit remote | 기후 날씨 climat weather | 교통 traffic | 자율주행 driv autonom | 자동차 차량 car vehicl | 보행자 pedestrian
학생 student | 교육 educat | 시험 exam test | 문항 문제 question problem item | 정답 answer correct ground | 난이도 difficult hard
쉬운 easy simple | 어려운 hard difficult challeng | 필터 걸러 filter | 중복 duplicat dedup | 수집 collect gather crawl | 정제 clean curat filter
구축 구성 build built construct consist compris contain | 포함 includ contain | 추가 add addition extra | 제거 remov drop delet
순위 rank | 상위 top | 하위 bottom | 상관 correlat | 일치 agree match consist | 유의 signific | 분산 varianc distribut | 표준편차 deviat std
신뢰구간 신뢰 confiden interval | 확률 probab | 엔트로피 entropy | 당혹도 perplexit | 퍼플렉시티 perplexit | 온도 temperatur | 밴드 band
주파수 frequenc | 압축률 compress ratio | 비율 ratio rate proportion share fraction | 비중 share proportion weight | 백분율 percent
개발 develop dev | 배포 deploy serv | 서비스 serv | 저장 stor sav | 크롤링 crawl | 뉴스 news | 위키 wiki | 책 도서 book | 논문 paper article
출판 publish | 인용 cit | 저자 author | 연구자 research | 대학 universit | 기업 compan | 병원 hospital | 진단 diagnos | 수술 surg
영어 english | 한국어 korean | 중국어 chinese | 일본어 japanese | 독일어 german | 프랑스어 french | 스페인어 spanish | 아랍어 arabic
힌디어 hindi | 러시아어 russian | 포르투갈어 portugues | 스와힐리어 swahili | 베트남어 vietnames | 태국어 thai | 이탈리아어 italian
목표 target goal | 상태 state | 궤적 trajector | 시연 demonstrat | 파지 grasp | 팔 arm | 다리 leg quadruped | 관절 joint | 센서 sensor
촉각 tactil touch | 거리 distanc | 각도 angle | 위치 position locat | 방향 direct orient | 회전 rotat | 접촉 contact | 충돌 collision
지도학습 supervis | 자기지도 self-supervis | 비지도 unsupervis | 준지도 semi-supervis | 대조 contrast | 마스크 마스킹 mask
연속 continu consecut | 병렬 parallel | 분산 distribut | 동시 simultan concurr | 순차 sequen | 재귀 recurs recurren | 반복 iterat repeat
전역 global | 지역 local | 계층 hierarch | 군집 cluster | 이웃 neighbor | 유사도 유사 similar | 거리 distanc | 색인 인덱스 index
질량 mass | 밀도 densit | 압력 pressur | 전압 voltag | 전류 current | 배터리 batter | 화면 screen | 버튼 button | 메뉴 menu
첫 first | 두번째 second | 최종 final | 초기 initial early | 후반 late | 중간 mid intermediate | 단계 stage step phase | 사이클 cycle
파일 file | 답 answer respons | 옳 correct right | 맞 correct right | 틀린 틀리 wrong incorrect | 시스템 system | 휴대폰 핸드폰 phone mobile | 카메라 camera | 관람자 view | 힌트 hint | 수락 수용 accept | 상담 consult | 계획 plan | 실행 execut run | 교정 correct | 의복 셔츠 shirt cloth | 바지 trouser pant | 수건 towel | 상의 shirt | 초보자 초심자 beginner novice
| 대조군 대조 control contrast | 도면 drawing | 청구항 claim | 통과 pass | 정리 theorem | 증명 proof prov | 예산 budget | 곡면 구겨 curv
| 평면 평평 flat | 문자 글자 character letter | 투표 vote | 설문 survey | 지표 metric measur | 도구 tool instrument | 단계 phase stage step
| 처음 scratch first initial | 무작위 random | 균일 uniform | 검색기 retriever | 재순위 rerank | 색인 index | 응용 appl | 앱 app
| 회의 meeting | 통화 call | 특허 patent | 판례 case preced | 계약 contract | 변호사 lawyer attorney | 의사 doctor physician clinician
| 방사선 radiolog | 종양 암 cancer tumor | 심장 heart cardi | 뇌 brain | 혈액 blood | 식물 plant | 작물 crop | 동물 animal | 새 bird
| 음식 food meal | 요리 cook recip | 영양 nutri | 스포츠 sport | 축구 soccer footbal | 바둑 go | 체스 chess | 수업 lesson class | 등급 rating grade
| 변화 바뀐 바뀌 chang | 안정 stabl | 사실 fact | 독자 reader | 상업 commercial | 오프라인 offline | 온라인 online | 실시간 real-time realtim
| 동기 sync | 입술 lip | 초상 portrait | 아바타 avatar | 손글씨 handwrit | 인쇄 print | 스캔 scan | 편집 edit
"""


def _read() -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for row in _LINES.replace("\n", "|").split("|"):
        words = row.split()
        korean = [word for word in words if "가" <= word[0] <= "힣"]
        english = [word for word in words if word not in korean]
        for word in korean:
            found.setdefault(word, []).extend(english)
    return {word: tuple(dict.fromkeys(stems)) for word, stems in found.items()}


GLOSSARY = _read()
_KOREAN = re.compile("|".join(sorted(map(re.escape, GLOSSARY), key=len, reverse=True)))
SUFFIX = re.compile(
    r"(?:ational|ations?|ators?|ings?|edly|ed|ers?|ies|es|s|ly|ion|ions|al|y|e|ive|ment|ments)$"
)


def stem(word: str) -> str:
    """A rough stem of an English word, lower case: enough for `accuracy` to meet `accurate`."""
    word = word.lower()
    if len(word) <= 3:
        return word
    cut = SUFFIX.sub("", word)
    return (cut if len(cut) >= 3 else word)[:7]


def in_english(korean: str) -> list[tuple[int, tuple[str, ...]]]:
    """The known words of a Korean text: each one's place and the stems of its English counterparts."""
    return [
        (match.start(), tuple(stem(word) for word in GLOSSARY[match[0]]))
        for match in _KOREAN.finditer(korean)
    ]

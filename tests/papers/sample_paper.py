"""A paper that was never written: the texts that the tests of summaries read."""

from paperworks.papers.source import Section, Source

TITLE = "TideCache: Keeping Long Conversations on Small Memory"

ABSTRACT = (
    "Serving a language model over long conversations is limited by the memory of its key-value cache. "
    "Existing methods drop entries once and cannot bring them back when the topic returns. "
    "We propose TideCache, a cache that moves entries between two tiers by how often recent queries attended to them. "
    "TideCache consists of a small fast tier, a compressed slow tier and a gate of 0.4M parameters that decides. "
    "On LongTalk, TideCache improves the recall of facts from 61.2% to 74.8% while using 3.1x less memory than the "
    "full cache."
)
INTRODUCTION = (
    "People talk with an assistant for hours, e.g. while they plan a journey, and expect it to remember. "
    "The cache of a 7B model takes 0.5 MB for each token, so a day of talk does not fit on a card of 24 GB. "
    "Smith et al. (2023) evict the entries with the lowest attention. However, what is evicted is lost.\n\n"
    "Unlike eviction, our approach never throws an entry away. The rest of the paper is organized as follows. "
    "As shown in Fig. 1, entries rise and sink like the tide. "
    "This paper presents the first cache whose tiers are trained together with the model that reads them."
)
METHOD = (
    "The slow tier stores each entry in 4 bits with one scale for 64 values. "
    "The gate is a two-layer perceptron that reads the running mean of attention of the last 128 queries.\n\n"
    "We train the gate with a distillation loss between the outputs with the tiered and the full cache. "
    "Training takes 2,000 steps on 40K conversations of at most 32K tokens with a learning rate of 3e-4, i.e. about 6 "
    "GPU hours. "
    "q_t = \\sum_i \\alpha_i k_i + \\beta \\| x \\|_2 = 0. "
    "Sec. 3.2 gives the proof."
)
RESULTS = (
    "TideCache outperforms H2O and StreamingLLM on LongTalk by 8.9 and 13.6 points of recall at the same memory. "
    "With Llama-2-7B the throughput on one A100 is 2.4x that of the full cache, at a batch of 16. "
    "It is slower at a batch of 1.\n\n"
    "method | recall | memory\nfull | 76.0 | 24.1\nTideCache | 74.8 | 7.8\n\n"
    "Without the gate the recall drops to 66.3%, which is close to plain eviction. "
    "Table 4 shows more. (See above.)"
)
RELATED = (
    "Eviction has a long history in the operating systems literature, and we outperform all of it by 99.9%."
)
CONCLUSION = (
    "We presented TideCache and showed that a trained gate lets a small memory keep long conversations at 98% of the "
    "full cache's recall. We thank the reviewers for their comments. We leave audio to future work."
)

PAPER = Source(
    (
        Section("Abstract", ABSTRACT),
        Section("1 Introduction", INTRODUCTION),
        Section("2 Related Work", RELATED),
        Section("3 TideCache", METHOD),
        Section("4 Experiments", RESULTS),
        Section(
            "Figure 2",
            "Figure 2: Recall over the length of a conversation. Higher is better for all methods.",
        ),
        Section("5 Conclusion", CONCLUSION),
        Section(
            "Acknowledgements",
            "This work was supported by grant no. 17 of a foundation that outperforms others.",
        ),
        Section(
            "References", "J. Smith and A. Jones. We propose eviction. In Proc. of Memory, 2023, pp. 1-9."
        ),
        Section("A Prompts", "The prompts are the following ones. " * 40),
    )
)

KOREAN_TITLE = "물결 캐시: 작은 메모리로 긴 대화 이어 가기"
KOREAN_PAPER = Source(
    (
        Section(
            "초록",
            "긴 대화를 처리하는 언어 모델은 키-값 캐시의 메모리 때문에 한계가 있다. "
            "기존 방법은 한번 버린 항목을 되살리지 못한다. "
            "본 논문은 항목을 두 층 사이에서 옮기는 새로운 캐시인 TideCache를 제안한다. "
            "TideCache는 빠른 층, 압축된 느린 층, 40만 파라미터의 게이트로 구성된다. "
            "LongTalk에서 회상률을 61.2%에서 74.8%로 향상시키고 메모리는 3.1배 적게 쓴다.",
        ),
        Section(
            "3 방법",
            "느린 층은 각 항목을 4비트로 저장하고 64개 값마다 척도 하나를 둔다. "
            "게이트는 증류 손실로 2,000단계 동안 학습한다. "
            "그러나 이는 비용이 든다.",
        ),
        Section(
            "4 실험",
            "Llama-2-7B에서 처리량은 전체 캐시 대비 2.4배로 증가하였다. 게이트를 빼면 회상률이 66.3%로 감소한다. "
            "TideCache는 H2O보다 8.9%p 높은 회상률을 달성하여 기존 방법을 능가한다.",
        ),
    )
)

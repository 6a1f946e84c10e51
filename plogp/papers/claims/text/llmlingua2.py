"""Prompt compression as token classification (Pan et al., LLMLingua-2, arXiv 2403.12968).

The paper: what a compressed text keeps can be learnt from examples; surprisal, which earlier methods keep, is no
measure of use. Two rates of the alignment find bad examples.
"""

import numpy as np

import plogp as pl
from plogp.papers.claim import Result, claim
from plogp.text.prompts import keep_annotations
from plogp.text.word_labels import split_words

SLUG = "llmlingua2"

NAMES = ("Lee", "Ortiz", "Khan", "Novak", "Sato", "Berg")
ACTIONS = ("approve", "reject", "table", "amend")
ITEMS = ("budget", "zoning", "lease", "permit", "bond")


@claim(SLUG, kind="exact")
def alignment_recovers_a_subsequence(seed: int = 0) -> Result:
    """Labels of a true subsequence are its words, with no alignment gap, and its very mask where no word repeats."""
    rng = np.random.default_rng(seed)
    gaps, wrong = [], 0
    for _ in range(200):
        words = list(rng.choice(list("abcdefghij"), rng.integers(1, 60)))
        short = [w for w in words if rng.random() < 0.4]
        _, labels = pl.text.align_labels(words, short)
        wrong += sorted(np.array(words)[labels]) != sorted(short)
        gaps.append(pl.text.compression_quality(words, short).alignment_gap)
        once = [f"{w}{i}" for i, w in enumerate(words)]
        mask = rng.random(len(once)) < 0.4
        wrong += not np.array_equal(pl.text.align_labels(once, [w for w, y in zip(once, mask) if y])[1], mask)
    return Result(
        {"wrong labellings": wrong, "largest gap": max(gaps)},
        {"wrong labellings": 0, "largest gap": 0.0},
        "none wrong and no gap in 200 random texts",
        wrong == 0 and max(gaps) == 0,
    )


@claim(SLUG, kind="exact")
def keeps_a_subsequence_at_the_rate(seed: int = 0) -> Result:
    """The compressed text is a subsequence of the words, and the share kept within one word of the rate."""
    rng = np.random.default_rng(seed)
    compressor = pl.text.PromptCompressor().fit([_meeting(rng)[:2] for _ in range(40)], filter=False)
    worst, lost = 0.0, 0
    for _ in range(30):
        text, _, _ = _meeting(rng)
        words = [w for w, _, _ in split_words(text)]
        for rate in (0.2, 0.5, 0.8, 1.0):
            short, mask = compressor.compress(text, rate)
            lost += [w for w, _, _ in split_words(short)] != [w for w, kept in zip(words, mask) if kept]
            worst = max(worst, abs(mask.sum() - rate * len(words)))
    return Result(
        {"words from the rate": worst, "not a subsequence": lost},
        {"words from the rate": 1.0, "not a subsequence": 0},
        "at most one word from the rate, and always a subsequence",
        worst <= 1 and lost == 0,
    )


def _meeting(rng: np.random.Generator) -> tuple[str, str, np.ndarray]:
    """Return a meeting, what to keep of it, and the mask of the words that matter.

    Names, actions and items come from short lists; the filler from 400 words that say nothing, each as rare as the
    next: high surprisal, no use.
    """
    words, useful = [], []
    for _ in range(int(rng.integers(3, 7))):
        slot = [rng.choice(NAMES), rng.choice(ACTIONS), rng.choice(ITEMS), str(rng.integers(10, 20))]
        sentence = [("councillor", 0), (slot[0], 1), ("moved", 0), ("to", 0), (slot[1], 1), ("the", 0), (slot[2], 1)]
        sentence += [("item", 0), (slot[3], 1), (".", 0)]
        for _ in range(int(rng.integers(3, 6))):
            place = int(rng.integers(len(sentence)))
            sentence.insert(place, (f"filler{rng.integers(400)}", 0))
        words += [w for w, _ in sentence]
        useful += [u for _, u in sentence]
    mask = np.array(useful, bool)
    return " ".join(words), " ".join(w for w, u in zip(words, mask) if u), mask


def _surprisal_of(texts: list[list[str]]) -> pl.text.SurprisalCompressor:
    """Return the baseline with a bigram model of words, fitted on the training texts."""
    number: dict[str, int] = {}
    for words in texts:
        for word in words:
            number.setdefault(word, len(number) + 1)
    lm = pl.trace.NGramLM(order=2, vocab_size=len(number) + 1)
    lm.fit([[number[w] for w in words] for words in texts])
    return pl.text.SurprisalCompressor(lambda words: -lm.logprob([number.get(w, 0) for w in words]))


@claim(SLUG, kind="directional")
def learnt_labels_beat_surprisal(seed: int = 0) -> Result:
    """At rate 0.4 the classifier keeps more than 90 % of the words that matter, selection by surprisal far fewer."""
    kept: dict[str, list[float]] = {"classifier": [], "surprisal": []}
    for s in range(3):
        rng = np.random.default_rng(100 * seed + s)
        train, test = [_meeting(rng) for _ in range(500)], [_meeting(rng) for _ in range(30)]
        compressors = {
            "classifier": pl.text.PromptCompressor().fit([(a, b) for a, b, _ in train]),
            "surprisal": _surprisal_of([a.split() for a, _, _ in train]),
        }
        for name, compressor in compressors.items():
            shares = [compressor.compress(text, 0.4)[1][useful].mean() for text, _, useful in test]
            kept[name].append(float(np.mean(shares)))
    return Result(
        {"classifier": float(np.mean(kept["classifier"])), "least": min(kept["classifier"])},
        {"classifier": 0.9},
        "more than 90 % kept, and more than by surprisal, for each of 3 seeds",
        min(kept["classifier"]) > 0.9 and all(np.greater(kept["classifier"], kept["surprisal"])),
        baseline={"surprisal": float(np.mean(kept["surprisal"]))},
        details=kept,
        note="Constructed meetings, and a logistic regression on hashed words in place of the paper's encoder.",
    )


@claim(SLUG, kind="directional")
def filters_find_bad_annotations(seed: int = 0) -> Result:
    """Variation rate finds invented words and alignment gap repeated ones; the filter drops most of them."""
    rng = np.random.default_rng(seed)
    qualities, invented, repeated = [], [], []
    for i in range(400):
        text, short, _ = _meeting(rng)
        words = short.split()
        kind = "invented" if i % 20 == 0 else "repeated" if i % 20 == 1 else ""
        # Even good annotators change a word now and then.
        words = [f"{w}ing" if rng.random() < (0.25 if kind == "invented" else 0.01) else w for w in words]
        if kind == "repeated":
            words += list(rng.choice(words, len(words) // 2))
        qualities.append(pl.text.compression_quality(text, " ".join(words)))
        invented.append(kind == "invented")
        repeated.append(kind == "repeated")
    found = {
        "variation rate": pl.estimate.auc([q.variation_rate for q in qualities], invented).value,
        "alignment gap": pl.estimate.auc([q.alignment_gap for q in qualities], repeated).value,
    }
    dropped = ~keep_annotations(qualities)
    share = float(dropped[np.array(invented) | np.array(repeated)].mean())
    return Result(
        found | {"bad ones dropped": share},
        {"variation rate": 0.9, "alignment gap": 0.9},
        "both AUROCs above 0.9 and more than 90 % of the bad ones dropped",
        min(found.values()) > 0.9 and share > 0.9,
        details={"texts": 400, "bad": int(sum(invented) + sum(repeated)), "dropped": int(dropped.sum())},
    )

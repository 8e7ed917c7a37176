"""Suggest a metric of evalkit for the names that other eval tools use."""

from __future__ import annotations

_NAMES = {
    "Use 'exact_match'.": "equals equal match exact exact_match_metric string_check accuracy equals_expected",
    "Use 'contains'.": "icontains contains_any contains_all icontains_any icontains_all includes include",
    "Use 'not_contains'.": "not_icontains not_contains_any not_contains_all excludes",
    "Use 'regex'.": "matches pattern regexp starts_with startswith ends_with endswith",
    "Use 'json'.": "is_json contains_json json_schema json_match valid_json",
    "Use 'numeric'.": "number close_to approx approximately",
    "The nearest is 'similarity', which compares characters.": "similar levenshtein fuzzy_match fuzzy "
    "text_similarity embedding_similarity semantic_similarity cosine_similarity bleu gleu meteor rouge "
    "rouge_n rouge_l rouge_1 bert_score bertscore f1 response_match_score",
    "Use 'tool_calls'.": "tool_correctness tool_call_f1 tool_trajectory_avg_score tool_trajectory "
    "trajectory trajectory_match argument_correctness tool_call_accuracy tool_use",
    "Use 'latency_s'.": "latency duration max_duration response_time",
    "Use 'cost_usd'.": "cost price max_cost",
    "Use 'tokens'.": "token_count token_usage",
    "Let a judge apply a rubric, or list `criteria:` on the case; see evalkit help judging.": "llm_rubric "
    "llm_judge llm_as_judge judge g_eval geval answer_relevancy answer_relevance faithfulness "
    "factuality correctness answer_correctness hallucination groundedness relevance relevancy coherence "
    "fluency toxicity bias helpfulness harmfulness summarization conciseness context_recall "
    "context_precision context_relevance context_faithfulness contextual_relevancy "
    "contextual_recall contextual_precision closedqa model_graded_closedqa model_graded_qa "
    "model_graded_fact conversation_relevance score_model label_model task_completion_metric",
    "Write a plugin; see evalkit help plugins.": "javascript python custom webhook code function "
    "perplexity classifier moderation is_instance",
}
"""What to do, with the names of other tools that it replaces, in snake case."""


def explain_metric(name: str) -> str:
    """Return what to use instead of a metric of another tool; empty if the name is of none."""
    spaced = "".join(f"_{char}" if char.isupper() else char for char in name[:100])
    word = spaced.replace("-", "_").replace(" ", "_").strip("_").casefold()
    words = {word, word.removesuffix("_metric"), word.replace("l_l_m_", "llm_")}
    return next((advice for advice, names in _NAMES.items() if words & set(names.split())), "")

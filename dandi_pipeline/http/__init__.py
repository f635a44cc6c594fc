"""One HTTP client for every platform: pooled, bounded, patient, and clear about what went wrong.

What a platform's answers mean stays in `platforms`; here is only how they are got, whole and checked.
"""

from dandi_pipeline.http.addresses import path
from dandi_pipeline.http.client import USER_AGENT, Answer, ErrorAnswer, HttpClient, Limits, Refusal
from dandi_pipeline.http.paging import Turning, follow, next_link
from dandi_pipeline.http.rate_limits import Budgets, CappedBudgets, LocalBudgets, RateBudget, RateLimit, pseudonym
from dandi_pipeline.http.traffic import TOTALS, Metrics, Traffic

__all__ = [
    "TOTALS",
    "USER_AGENT",
    "Answer",
    "Budgets",
    "CappedBudgets",
    "ErrorAnswer",
    "HttpClient",
    "Limits",
    "LocalBudgets",
    "Metrics",
    "RateBudget",
    "RateLimit",
    "Refusal",
    "Traffic",
    "Turning",
    "follow",
    "next_link",
    "path",
    "pseudonym",
]

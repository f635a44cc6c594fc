"""One HTTP client for every platform: pooled, bounded, patient, and clear about what went wrong.

What a platform's answers mean stays in `platforms`; here is only how they are got, whole and checked.
"""

from dandi_pipeline.http.addresses import path
from dandi_pipeline.http.client import USER_AGENT, Answer, ErrorAnswer, HttpClient, Limits, Refusal
from dandi_pipeline.http.grants import RateLimit
from dandi_pipeline.http.instants import instant
from dandi_pipeline.http.metrics import TOTALS, Metrics, Traffic
from dandi_pipeline.http.paging import Turning, follow, next_link
from dandi_pipeline.http.rate import Budgets, CappedBudgets, LocalBudgets, RateBudget, pseudonym

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
    "instant",
    "next_link",
    "path",
    "pseudonym",
]

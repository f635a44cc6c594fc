"""Random worlds, as the soak runs them, but chosen and shrunk by Hypothesis, and few."""

from collections import Counter

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as some
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from dandi_pipeline_tests.soak.world_run import WorldRun

FEW = settings(
    max_examples=6,
    stateful_step_count=7,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


class Worlds(RuleBasedStateMachine):
    """One world after another in the mirror at `url`. Each step ends with a check, the world with convergence."""

    url = ""
    seeds = iter(range(10**6, 2 * 10**6))

    @initialize(seed=some.integers(0, 10**6))
    def begin(self, seed: int) -> None:
        # A source of its own even where Hypothesis tries a seed again.
        self.world = WorldRun(seed, self.url, Counter(), name=f"world-{next(self.seeds)}")
        self.world.__enter__()

    @rule(times=some.integers(1, 4))
    def edit(self, times: int) -> None:
        for _ in range(times):
            self.world.edit()

    @rule()
    def sync(self) -> None:
        self.world.sync()

    @rule()
    def sync_some(self) -> None:
        self.world.sync_some()

    @rule()
    def sync_with_faults(self) -> None:
        self.world.sync_with_faults()

    @rule()
    def sync_and_kill(self) -> None:
        self.world.sync_and_kill()

    @rule()
    def sync_twice(self) -> None:
        self.world.sync_twice()

    @rule()
    def lose_key(self) -> None:
        self.world.lose_key()

    def teardown(self) -> None:
        if hasattr(self, "world"):
            try:
                self.world.finish()
            finally:
                self.world.__exit__(None, None, None)


def test_every_history_ends_in_an_equal_mirror(mirror_url: str) -> None:
    class Here(Worlds):
        url = mirror_url

    run_state_machine_as_test(Here, settings=FEW)

"""How good the decisions are, in the scenes of ``bench.scheduling``: simulated time, the real state."""

from __future__ import annotations

from twisted.trial.unittest import TestCase

from bench.scheduling import forecast_error
from bench.scheduling_rules import Ours
from bench.scheduling_scenes import BOUNDS, SCENES, bound, mixed, stragglers, users
from bench.scheduling_world import Simulation


class QualityTests(TestCase):
    def test_all_is_done_within_a_tenth_of_the_least_possible_time(self) -> None:
        """And no memory is overcommitted, and half way we tell how long the rest takes."""
        for name, scene in SCENES.items():
            if scene is users:
                continue
            machines, jobs = scene(1)
            ours = Ours()
            run = Simulation(ours, machines, jobs).run()
            ratio = run.makespan / BOUNDS.get(scene, bound)(machines, jobs)
            self.assertLess(ratio, 1.10, name)
            self.assertLessEqual(run.overcommitted, 0, name)
            if scene is not stragglers:  # they slow down just then, which nobody can know
                # In the mixed scene owners share by time, and the pace of one changes when another is done.
                self.assertLess(forecast_error(run, ours), 0.2 if scene is mixed else 0.15, name)

    def test_a_user_with_one_image_waits_two_job_times_at_most(self) -> None:
        machines, jobs = users(1)
        [one] = [job for job in jobs if job.workload == "one"]
        run = Simulation(Ours(), machines, jobs)
        run.run_until(lambda: one.number in run.finished)
        typical = sum(job.seconds for job in jobs) / len(jobs)
        self.assertLess(run.finished[one.number], 2 * typical)

"""Draw weeks of traffic of the same users: heavy users, users who differ, and a pattern of weekdays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from evalkit.stats.clustered import Records
from evalkit.stats.distributions import Floats

WEEKDAYS = 7
VOLUMES = np.array([1.2, 1.1, 1.0, 1.0, 0.9, 0.4, 0.3])
"""The requests of each weekday, in relation."""
RATE_SHIFTS = np.array([0.0, 0.0, 0.2, 0.0, 0.1, 0.6, 0.8])
"""How much each weekday adds to the logit of a rate; a fifth of it to the logarithm of a value."""
REQUESTS = 4.0
"""The median number of requests of a user in a week."""
MAX_REQUESTS = 400.0


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Population:
    """Users with their own rate, volume, and typical value; arrays of shape (users,)."""

    rates: Floats
    volumes: Floats
    values: Floats

    @classmethod
    def draw(
        cls,
        rng: np.random.Generator,
        *,
        users: int,
        rate: float,
        icc: float = 0.3,
        heaviness: float = 1.2,
    ) -> Population:
        """Draw users whose rates have the intraclass correlation `icc`, and log-normal volumes."""
        strength = 1 / icc - 1
        return cls(
            rates=rng.beta(rate * strength, (1 - rate) * strength, users),
            volumes=np.minimum(REQUESTS * rng.lognormal(0, heaviness, users), MAX_REQUESTS),
            values=rng.lognormal(0, 0.5, users),
        )

    def draw_week(
        self,
        rng: np.random.Generator,
        kind: str,
        *,
        active: float = 1.0,
        shifted: bool = False,
        noise: float = 0.0,
        harm: float = 0.0,
    ) -> Records:
        """Draw the requests of one week by weekday, of a share `active` of the users.

        `kind` is `rate` or another word for values. If `shifted`, the weekdays have each other's volumes.
        `noise` is the standard deviation of the week's own effect, `harm` a constant effect, both on the
        logit of a rate or on the logarithm of a value.
        """
        users = self.rates.size
        volumes = np.roll(VOLUMES, 2) if shifted else VOLUMES
        counts = rng.poisson(self.volumes[:, np.newaxis] * volumes / volumes.sum())
        counts *= (rng.random(users) < active)[:, np.newaxis]
        who, day = np.nonzero(counts)
        user, weekday = (np.repeat(codes, counts[who, day]) for codes in (who, day))
        effect = RATE_SHIFTS[weekday] * (1.0 if kind == "rate" else 0.2)
        effect = effect + rng.normal(0, noise) + harm
        if kind == "rate":
            rate = np.clip(self.rates[user], 1e-9, 1 - 1e-9)
            chance = 1 / (1 + np.exp(-(np.log(rate / (1 - rate)) + effect)))
            values = (rng.random(user.size) < chance).astype(float)
        else:
            values = self.values[user] * rng.lognormal(0, 0.8, user.size) * np.exp(effect)
        return Records(
            users=user, strata=weekday, values=values, sizes=np.ones(user.size), user_count=users
        )


def weekday_shares(records: Records) -> Floats:
    """Return the share of each weekday in the records."""
    counts = np.bincount(records.strata, weights=records.sizes, minlength=WEEKDAYS)
    shares: Floats = counts / counts.sum()
    return shares

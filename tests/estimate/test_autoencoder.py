import numpy as np
import pytest

torch = pytest.importorskip("torch")

from plogp.estimate import CompressedMI, tasks  # noqa: E402
from plogp.estimate.autoencoder import Autoencoder  # noqa: E402


def test_same_seed_same_codes_and_sklearn_parameters():
    x = np.random.default_rng(0).normal(size=(100, 4))
    one, two = (Autoencoder(2, width=16, steps=10, rng=3).fit_transform(x) for _ in range(2))
    assert (one == two).all()
    assert Autoencoder(3).get_params()["n_components"] == 3
    before = torch.random.get_rng_state()
    Autoencoder(1, width=8, steps=2, rng=0).fit(x)
    assert bool((before == torch.random.get_rng_state()).all())


def test_it_unrolls_what_components_fold():
    # An arc of 300 degrees: one component cannot tell its two ends apart, one code can.
    rng = np.random.default_rng(0)
    t = rng.uniform(0.3, 5.5, 800)
    arc = np.column_stack([np.cos(t), np.sin(t)])
    y = (t + 0.1 * rng.normal(size=800))[:, None]
    linear = CompressedMI(1).fit_estimate(arc, y).value
    encoder = Autoencoder(1, width=64, steps=600, rng=0)
    rolled = CompressedMI(encoder).fit_estimate(arc, y).value
    assert rolled > linear + 0.3


@pytest.mark.slow
def test_rectangles():
    x, y = tasks.images_of("rectangle", information=3.0).sample(2000, 0)
    linear = CompressedMI(4, 4).fit_estimate(x, y).value
    encoded = CompressedMI(Autoencoder(4, rng=0), Autoencoder(4, rng=1)).fit_estimate(x, y).value
    assert linear < 1.5
    assert 2.0 < encoded < 3.3


def test_bad_input():
    x = np.random.default_rng(0).normal(size=(20, 3))
    with pytest.raises(ValueError, match="n_components"):
        Autoencoder(4).fit(x)
    with pytest.raises(ValueError, match="no variance"):
        Autoencoder(1).fit(np.ones((10, 3)))
    with pytest.raises(ValueError, match="NaN"):
        Autoencoder(1).fit(x * np.nan)
    with pytest.raises(ValueError, match="not fitted"):
        Autoencoder(1).transform(x)
    with pytest.raises(ValueError, match="columns"):
        Autoencoder(1, steps=2).fit(x).transform(x[:, :2])

"""Information of high-dimensional data by compression (Butakov et al., arXiv 2305.08013).

The paper: I(X;Y) of images and layers is estimated by that of a few numbers that describe each side; what a
compression can lose is bounded; a network with noise in it then has an information plane without any binning.
"""

import copy

import numpy as np

import plogp as pl
from plogp.estimate import tasks
from plogp.papers.claim import Result, claim

SLUG = "lossy_compression_ib"


def _information(x_cov: np.ndarray, cross: np.ndarray, y_cov: np.ndarray) -> float:
    """I(X;Y) of normal vectors from their covariances."""
    joint = np.block([[x_cov, cross], [cross.T, y_cov]])
    return 0.5 * float(np.linalg.slogdet(x_cov)[1] + np.linalg.slogdet(y_cov)[1] - np.linalg.slogdet(joint)[1])


@claim(SLUG, kind="statistical")
def images_with_known_information(seed: int = 0) -> Result:
    """Spots of 16 x 16 pixels at correlated places, n = 2,000: two principal components find 1, 3 and 5 nats."""
    found, rows, raw = [], [], []
    for information in (1.0, 3.0, 5.0):
        task = tasks.images_of("gaussian", information=information)
        x, y = task.sample(2000, seed)
        found.append(pl.estimate.CompressedMI(2, 2).fit_estimate(x, y).value)
        x, y = task.sample(300, seed)
        parts = [pl.estimate.kozachenko_leonenko(v).value for v in (x, y, np.hstack([x, y]))]
        raw.append(parts[0] + parts[1] - parts[2])
        x, y = tasks.images_of("rectangle", information=information).sample(2000, seed)
        rows.append(pl.estimate.CompressedMI(4, 4).fit_estimate(x, y).value)
    errors = np.abs(np.array(found) - [1.0, 3.0, 5.0])
    off = np.abs(np.array(raw) - [1.0, 3.0, 5.0])
    return Result(
        found,
        [1.0, 3.0, 5.0],
        "each within 0.25 nats, and without compression each off by more than 1",
        bool(errors.max() <= 0.25 and off.min() > 1),
        baseline=raw,
        unit="nats",
        details={"rectangles, four principal components": rows},
        note="Rectangles (four numbers) lie on a surface that principal components fold: they lose about 2 nats.",
    )


@claim(SLUG, kind="exact")
def loss_of_a_projection(seed: int = 0) -> Result:
    """Normal X in 20 dimensions with noise: the true loss of n' components is within the bound, and reaches it."""
    rng = np.random.default_rng(seed)
    d, sigma = 20, 0.5
    samples = rng.standard_normal((400, d)) @ (rng.standard_normal((d, d)) * np.geomspace(2, 0.05, d))
    covariance = np.cov(samples, rowvar=False)
    noisy = covariance + sigma**2 * np.eye(d)
    _, vectors = np.linalg.eigh(covariance)
    curves = {"bound": pl.estimate.compression_loss_bound(samples, range(1, d + 1), sigma)}
    # Y sees a part of X through noise, or all of it almost exactly.
    cases = {"Y = AX + noise": (rng.standard_normal((5, d)), 0.1), "Y = X": (np.eye(d), 1e-7)}
    for name, (mixing, noise) in cases.items():
        cross, y_cov = covariance @ mixing.T, mixing @ covariance @ mixing.T + noise * np.eye(len(mixing))
        whole, losses = _information(noisy, cross, y_cov), []
        for kept in range(1, d + 1):
            p = vectors[:, ::-1][:, :kept].T
            losses.append(whole - _information(p @ noisy @ p.T, p @ cross, y_cov))
        curves[name] = np.array(losses)
    gap = min(float((curves["bound"] - curves[name]).min()) for name in cases)
    least = min(float(curves[name].min()) for name in cases)
    share = float(curves["Y = X"][0] / curves["bound"][0])
    last = max(abs(float(curve[-1])) for curve in curves.values())
    passed = gap >= -1e-9 and least >= -1e-9 and last <= 1e-9 and share >= 0.999
    return Result(
        {"bound - loss": gap, "at n' = d": last, "share of the bound reached": share},
        {"bound - loss": 0.0, "at n' = d": 0.0, "share of the bound reached": 1.0},
        "bound - loss >= -1e-9 for n' = 1..20; loss >= -1e-9, and 0 at n' = 20; Y = X reaches 99.9 % of the bound",
        bool(passed),
        unit="nats",
        series={
            "x": list(range(1, d + 1)),
            "curves": {name: curve.tolist() for name, curve in curves.items()},
            "xlabel": "components kept",
            "ylabel": "nats",
        },
    )


@claim(SLUG, kind="exact")
def data_processing(seed: int = 0) -> Result:
    """Normal vectors in closed form: projections never have more information, an invertible map as much."""
    rng = np.random.default_rng(seed)
    worst, equal = -np.inf, 0.0
    for _ in range(50):
        root = rng.standard_normal((9, 9))
        joint = root @ root.T
        x, cross, y = joint[:5, :5], joint[:5, 5:], joint[5:, 5:]
        whole = _information(x, cross, y)
        f, g = rng.standard_normal((2, 5)), rng.standard_normal((2, 4))
        worst = max(worst, _information(f @ x @ f.T, f @ cross @ g.T, g @ y @ g.T) - whole)
        turn, _ = np.linalg.qr(rng.standard_normal((5, 5)))
        stretched = turn * rng.uniform(0.5, 2.0, 5)
        equal = max(equal, abs(_information(stretched @ x @ stretched.T, stretched @ cross, y) - whole))
    return Result(
        {"projected - whole": worst, "invertible map": equal},
        {"projected - whole": 0.0, "invertible map": 0.0},
        "projected - whole <= 1e-12; an invertible map changes it by at most 1e-9",
        bool(worst <= 1e-12 and equal <= 1e-9),
        unit="nats",
    )


@claim(SLUG, kind="directional", slow=True)
def layers_learn_the_label(seed: int = 0) -> Result:
    """A noisy network on handwritten digits: I(L;Y) of its last hidden layer grows in training, in 3 of 3 seeds."""
    import torch
    from sklearn.datasets import load_digits

    images, digits = load_digits(return_X_y=True)
    x = torch.as_tensor(images / 16.0, dtype=torch.float32)
    y = torch.as_tensor(digits)
    epochs = [0, 1, 3, 10, 30]
    planes = []
    for run in range(3):
        g = torch.Generator().manual_seed(100 * seed + run)
        noise = [pl.nn.AdditiveGaussianNoise(0.1, rng=100 * seed + 10 * run + j) for j in range(2)]
        first, second, last = (torch.nn.Linear(a, b) for a, b in ((64, 32), (32, 16), (16, 10)))
        for layer in (first, second, last):
            for weight in layer.parameters():
                weight.data.copy_((2 * torch.rand(weight.shape, generator=g) - 1) / layer.in_features**0.5)
        model = torch.nn.Sequential(first, torch.nn.Tanh(), noise[0], second, torch.nn.Tanh(), noise[1], last)
        adam = torch.optim.Adam(model.parameters(), lr=3e-3)
        states = {0: copy.deepcopy(model.state_dict())}
        for epoch in range(1, epochs[-1] + 1):
            for rows in torch.randperm(len(x), generator=g).split(64):
                adam.zero_grad()
                torch.nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
                adam.step()
            if epoch in epochs:
                states[epoch] = copy.deepcopy(model.state_dict())
        planes.append(pl.estimate.noisy_information_plane(model, [(x, y)], ["2", "5"], states=states))
    gains = [float(plane.iy[-1, 1] - plane.iy[0, 1]) for plane in planes]
    about_y = np.mean([plane.iy for plane in planes], axis=0)
    about_x = np.mean([plane.ix for plane in planes], axis=0)
    return Result(
        gains,
        {"above": 0.0},
        "I(L;Y) of the last hidden layer after 30 epochs less that before the first is positive for each seed",
        min(gains) > 0,
        unit="nats",
        details={"epochs": epochs, "I(L;Y)": about_y.tolist(), "I(X;L)": about_x.tolist()},
        series={
            "x": epochs,
            "curves": {f"I(L{j + 1};Y)": about_y[:, j].tolist() for j in range(2)},
            "xlabel": "epoch",
            "ylabel": "nats",
        },
    )

from sklearn.utils.estimator_checks import parametrize_with_checks

from plogp.tables.woe import WoEEncoder


@parametrize_with_checks(
    [WoEEncoder(), WoEEncoder("quantile", output="ci"), WoEEncoder("optimal", orientation="non-event")]
)
def test_scikit_learn_contract(estimator, check):
    check(estimator)

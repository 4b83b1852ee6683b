from decloud_lib.learning.naming import headlines


def test_the_headlines_are_of_the_network_and_its_first_data_set() -> None:
    metrics = {
        "train/a/psnr_db": 1.0,
        "valid/b/psnr_db": 2.0,
        "valid/a/psnr_db": 3.0,
        "valid/b/s2_20m_target_psnr_db": 4.0,
        "test/a/linear_gap_filling/psnr_db": 5.0,
        "test/a/psnr_db": 6.0,
    }
    found = headlines(metrics)
    assert found == {"score/valid/psnr_db": 2.0, "score/test/psnr_db": 6.0}
    assert max(found) < "system/cpu_utilization_percentage"

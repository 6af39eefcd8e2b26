//! The checks themselves.

/// One check.
pub(super) struct Check {
    pub(super) number: u32,
    /// What must hold.
    pub(super) what: &'static str,
    /// What the tests leave open, said rather than passed over.
    pub(super) open: Option<&'static str>,
    /// File, and test in it.
    pub(super) shown_by: &'static [(&'static str, &'static str)],
}

pub(super) const CHECKS: &[Check] = &[
    Check {
        number: 1,
        what: "The upstream cuts a blob at 70 %: the client receives all of it, and the metrics show one resumption.",
        open: None,
        shown_by: &[("tests/it/peers/bodies.rs", "a_blob_cut_at_seventy_percent_comes_whole_and_counts_as_one_resume")],
    },
    Check {
        number: 2,
        what: "The upstream never sends the first byte: an error before containerd gives up, and never a 200.",
        open: None,
        shown_by: &[
            ("tests/it/peers/bodies.rs", "a_bucket_that_never_sends_a_byte_is_a_504_in_time_and_never_a_200"),
            ("tests/it/data_path.rs", "a_silent_registry_is_answered_for_in_time"),
            ("src/proxy/tests/manifests.rs", "silence_becomes_504_before_containerd_gives_up"),
        ],
    },
    Check {
        number: 3,
        what: "The upstream sends less than it announced and cannot be continued: the body is cut and not ended.",
        open: None,
        shown_by: &[
            ("tests/it/data_path.rs", "a_body_that_cannot_be_completed_is_cut_and_never_ended"),
            ("src/proxy/tests/blobs.rs", "a_stream_that_cannot_be_continued_is_cut_and_not_ended"),
        ],
    },
    Check {
        number: 4,
        what: "A signed URL expires in the middle of a download: another one is asked for, and the body goes on.",
        open: None,
        shown_by: &[
            ("tests/it/peers/bodies.rs", "a_url_that_expires_in_the_middle_of_a_body_is_asked_for_again"),
            ("src/proxy/tests/blobs.rs", "a_url_that_has_expired_or_is_refused_is_asked_for_anew_once"),
        ],
    },
    Check {
        number: 5,
        what: "A token is revoked early (401, and 403 that says so): one invalidation, one retry, then the truth.",
        open: None,
        shown_by: &[
            ("tests/it/chain.rs", "a_bearer_that_is_revoked_early_costs_one_more_and_no_failed_pull"),
            ("tests/it/tokens.rs", "a_403_of_the_registry_that_says_expired_costs_a_bearer_and_no_failed_pull"),
            ("tests/it/tokens/refused.rs", "bearers_that_are_taken_back_one_after_the_other_fail_no_pull"),
            ("tests/it/tokens/refused.rs", "a_registry_that_refuses_every_bearer_is_told_of_and_costs_no_storm"),
            ("src/proxy/tests/manifests.rs", "a_bearer_that_is_refused_is_renewed_once"),
            ("src/proxy/tests/manifests.rs", "a_403_that_says_expired_is_renewed_once_and_another_is_final"),
        ],
    },
    Check {
        number: 6,
        what: "500 cold requests at once for one instance: one call for each hop.",
        open: None,
        shown_by: &[
            ("tests/it/chain.rs", "a_crowd_of_cold_requests_causes_one_call_per_hop"),
            ("src/token/tests.rs", "five_hundred_cold_requests_cause_one_call_for_each_hop"),
        ],
    },
    Check {
        number: 7,
        what: "STS is down for 20 minutes with 40 left: no failed pull, and a gauge that counts down.",
        open: None,
        shown_by: &[
            (
                "tests/it/peers/time.rs",
                "twenty_minutes_without_sts_with_forty_left_fail_no_pull_and_the_gauge_counts_down",
            ),
            ("tests/it/tokens.rs", "a_login_serves_new_repositories_through_an_outage_of_the_cloud"),
            ("src/credentials/tests.rs", "outages_above_the_login_fail_no_pull_and_are_not_hammered"),
        ],
    },
    Check {
        number: 8,
        what: "An STS session shorter than an hour: the login's expiry follows it.",
        open: None,
        shown_by: &[
            ("tests/it/peers/time.rs", "a_login_ends_with_the_short_session_that_asked_for_it"),
            ("src/token/tests.rs", "the_longest_life_of_a_bearer_is_that_of_its_login"),
            ("src/credentials/tests.rs", "sessions_of_a_quarter_of_an_hour_survive_a_day_of_faults"),
        ],
    },
    Check {
        number: 9,
        what: "The service-account token is rotated: the next renewal reads it; away for a second, it fails nothing.",
        open: None,
        shown_by: &[
            ("tests/it/peers/time.rs", "a_token_file_that_was_rotated_or_is_away_for_a_second_fails_no_pull"),
            ("src/credentials/oidc.rs", "a_file_that_is_missing_for_a_moment_is_no_failure"),
        ],
    },
    Check {
        number: 10,
        what: "A realm or redirect to where it must not lead is refused; no credential passes its host.",
        open: None,
        shown_by: &[
            ("tests/it/origins.rs", "check_10_each_credential_goes_to_whom_it_was_issued_for_and_to_nobody_else"),
            ("tests/it/origins.rs", "check_10_a_realm_that_is_not_the_registrys_gets_nothing"),
            ("tests/it/origins.rs", "check_10_a_realm_that_redirects_is_not_followed_with_the_login"),
            ("tests/it/origins.rs", "check_10_plain_http_to_a_bucket_is_made_https_and_to_nobody_else"),
            ("tests/it/origins.rs", "check_10_redirects_lead_to_buckets_and_named_hosts_only"),
            ("tests/it/origins.rs", "check_10_another_bucket_is_asked_without_a_credential"),
            ("tests/it/origins.rs", "check_10_a_loop_of_redirects_ends"),
            ("src/http/resolve/tests.rs", "of_what_a_name_leads_to_only_what_is_allowed_is_dialled"),
            ("tests/it/data_path.rs", "a_hostile_realm_gets_nothing"),
            ("tests/it/data_path.rs", "blobs_come_only_from_where_they_may"),
            ("src/proxy/tests/blobs.rs", "a_redirect_to_anywhere_else_is_refused_and_not_followed"),
            ("src/proxy/tests/blobs.rs", "hops_between_buckets_are_followed_without_a_header_of_the_hop_before"),
            ("src/http/origin/tests.rs", "a_location_is_read_against_the_url_it_answers"),
            ("src/token/tests.rs", "a_foreign_realm_never_sees_the_login"),
        ],
    },
    Check {
        number: 11,
        what: "Range: 206 with the right `Content-Range`, 416 beyond the end, suffixes, and what is ignored by the book.",
        open: None,
        shown_by: &[
            ("tests/it/clients/shapes.rs", "several_ranges_come_as_one_part_each_in_their_order"),
            ("tests/it/conformance.rs", "pulling_blobs_in_ranges"),
            ("tests/it/data_path.rs", "ranges_are_passed_through"),
            ("src/proxy/tests/blobs.rs", "ranges_are_honoured_to_the_byte"),
            ("src/upstream/range.rs", "a_range_that_follows_no_grammar_is_ignored"),
        ],
    },
    Check {
        number: 12,
        what: "Answers without a length, HTTP/2 upstream, and HEAD of blobs and manifests.",
        open: None,
        shown_by: &[
            ("tests/it/peers/bodies.rs", "answers_without_a_length_come_whole"),
            (
                "tests/it/peers/bodies.rs",
                "the_registry_is_asked_over_http2_and_the_head_of_everything_tells_its_length",
            ),
            ("src/proxy/tests/blobs.rs", "the_head_of_a_blob_is_told_also_where_the_registry_redirects_it"),
            ("src/proxy/tests/manifests.rs", "head_and_get_agree_on_everything_that_containerd_reads"),
        ],
    },
    Check {
        number: 13,
        what: "`ns` absent, unknown, with a port or of somebody else: 404 at once, and no credential is looked up.",
        open: None,
        shown_by: &[
            ("tests/it/bad_input.rs", "unknown_namespaces_are_somebody_elses"),
            ("tests/it/app.rs", "a_domain_that_is_not_served_costs_the_cloud_nothing"),
            ("src/proxy/tests/routing.rs", "an_instance_is_found_by_namespace_then_host_then_first_component"),
        ],
    },
    Check {
        number: 14,
        what: "Push, delete and `_catalog` are refused without touching the upstream.",
        open: None,
        shown_by: &[
            ("tests/it/conformance.rs", "what_is_not_pulling_is_refused"),
            ("tests/it/bad_input.rs", "writes_are_refused_by_method"),
            ("src/proxy/tests/bad_input.rs", "what_is_no_pull_is_refused_without_a_request_to_the_upstream"),
            ("tests/it/malformed.rs", "ten_thousand_malformed_requests_change_nothing"),
        ],
    },
    Check {
        number: 15,
        what: "An `Authorization` of the client is the daemon's token or nothing, and goes nowhere.",
        open: None,
        shown_by: &[
            ("tests/it/data_path.rs", "the_request_to_the_bucket_is_built_from_nothing"),
            ("src/proxy/tests/manifests.rs", "a_client_cannot_put_its_own_credentials_or_ranges_in"),
            ("tests/it/callers.rs", "who_does_not_know_the_token_gets_nothing_and_costs_nothing"),
            ("src/proxy/caller/tests.rs", "the_token_is_taken_in_both_forms_and_in_no_other"),
        ],
    },
    Check {
        number: 16,
        what: "A `hosts.toml` with everything in it is kept; uninstall restores it; a kill at any step leaves a valid file.",
        open: None,
        shown_by: &[
            ("tests/it/hosts/killed.rs", "install_and_uninstall_killed_at_every_system_call"),
            ("src/containerd/hosts_toml/tests.rs", "what_is_not_ours_comes_back_byte_for_byte"),
            ("src/containerd/install/tests.rs", "uninstall_restores_the_directory_byte_for_byte_and_mode_for_mode"),
        ],
    },
    Check {
        number: 17,
        what: "A `config_path` that is a list, replaced by older keys or missing is named.",
        open: Some(
            "`tests/run` has the containerd of its machine; `tests/containerds` runs the same tests with 1.7, 2.0, 2.1 and 2.2 of Debian and Ubuntu, the last two in each of their ways of pulling. 2.3 is known from its source.",
        ),
        shown_by: &[
            ("tests/it/doctor/containerd.rs", "a_containerd_that_does_not_ask_the_daemon_is_found_out"),
            (
                "src/containerd/config_toml/tests.rs",
                "several_directories_are_refused_only_where_the_transfer_service_takes_them_for_one",
            ),
            ("src/containerd/config_toml/tests.rs", "config_path_beside_what_it_replaces_is_refused"),
            ("src/containerd/config_toml/tests.rs", "without_config_path_the_lines_to_paste_are_for_this_format"),
            ("tests/it/hosts/with_containerd.rs", "containerd_reads_what_install_writes_and_no_more_after_uninstall"),
        ],
    },
    Check {
        number: 18,
        what: "The daemon stopped, hung, or its port taken: what a pull then costs.",
        open: None,
        shown_by: &[
            ("tests/it/hosts/with_containerd.rs", "a_daemon_that_is_gone_costs_a_pull_less_than_a_second"),
            (
                "tests/it/hosts/with_containerd.rs",
                "a_daemon_that_stays_hung_holds_the_pulls_that_reach_it_and_no_others_and_answers_when_it_goes_on",
            ),
            (
                "tests/it/hosts/with_containerd.rs",
                "with_strict_a_pull_fails_at_once_where_the_daemon_is_gone_and_works_again_after_uninstall",
            ),
            (
                "tests/it/rolling/with_containerd.rs",
                "a_daemon_is_replaced_under_two_hundred_pulls_of_containerds_and_none_fails",
            ),
        ],
    },
    Check {
        number: 19,
        what: "A node that boots without CNI and cluster DNS pulls.",
        open: Some(
            "`tests/run` boots no cluster: the manifests are read for host network and node DNS, and the daemon in its image pulls by the node's own files, which needs neither. `tests/cluster` boots a real one, of Kubernetes 1.20, without CNI and without any name server.",
        ),
        shown_by: &[
            ("tests/it/manifests.rs", "the_daemon_is_there_before_the_cluster_is_and_is_replaced_without_a_gap"),
            ("tests/it/image.rs", "a_node_pulls_through_the_daemon_in_its_image"),
            ("tests/it/networks.rs", "a_node_that_boots_before_its_network_serves_as_soon_as_there_is_one"),
        ],
    },
    Check {
        number: 20,
        what: "Eight streams of 5 GB within 128 MiB: no growth, and no page cache.",
        open: Some(
            "2304 MiB (as many GiB as `ACR_LOAD_GIB` says, by hand), with half of the readers slow, in layers of 32 MiB: what is shown is that memory does not follow the bytes.",
        ),
        shown_by: &[
            ("tests/it/peers/load.rs", "eight_streams_of_layers_larger_than_the_limit_leave_memory_flat"),
            ("tests/it/footprint/slow_readers.rs", "over_http1"),
            ("tests/it/footprint/slow_readers.rs", "over_http2"),
        ],
    },
    Check {
        number: 21,
        what: "SIGTERM with a long stream: unready first, drained to the deadline, then cut.",
        open: None,
        shown_by: &[
            ("tests/it/peers/load.rs", "a_stream_of_half_an_hour_is_drained_until_the_deadline_and_then_cut"),
            ("tests/it/app.rs", "a_pull_under_way_ends_whole_when_the_daemon_ends"),
            ("src/proxy/tests/connections.rs", "what_does_not_end_in_time_is_cut"),
        ],
    },
    Check {
        number: 22,
        what: "No secret and no signed query in logs, errors, metrics and dumps.",
        open: None,
        shown_by: &[
            ("tests/it/secrets.rs", "no_secret_leaves_the_daemon_with_any_method_through_renewals_and_faults"),
            ("src/token/tests.rs", "nothing_that_is_printed_holds_a_secret"),
            ("src/http/origin/tests.rs", "a_signed_url_is_sent_as_it_came_and_shown_without_its_query"),
            ("tests/it/secrets.rs", "the_memory_of_the_daemon_ends_in_no_file_and_no_other_process"),
        ],
    },
    Check {
        number: 23,
        what: "A clock ten minutes off: expiry is judged sensibly, and the skew is shown.",
        open: None,
        shown_by: &[
            ("tests/it/peers/time.rs", "a_clock_that_is_off_by_ten_minutes_costs_nothing_and_is_measured"),
            ("src/token/tests/healing.rs", "a_clock_that_is_wrong_by_minutes_is_measured"),
            ("src/token/tests/healing.rs", "a_clock_beyond_the_window_of_sts_is_set_right_by_the_refusal_itself"),
        ],
    },
    Check {
        number: 24,
        what: "A reload of a broken file: the old configuration serves on, and a metric says so.",
        open: None,
        shown_by: &[
            ("tests/it/serve.rs", "a_bad_new_configuration_keeps_the_old_one_and_says_why"),
            ("src/telemetry/metrics/tests.rs", "a_bad_configuration_keeps_the_time_of_the_last_good_one"),
        ],
    },
];

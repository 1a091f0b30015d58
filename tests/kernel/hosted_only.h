/* Hosted only: tests that ask for what a kernel in an emulator has not: processes, files, signals.
 *
 * Their programs run in the guest; these tests of them are counted as skipped, with the reason.
 * Whole programs that cannot run there are listed in mk/ktest.mk. */
#pragma once

/* X(program, test, reason) */
#define HOSTED_ONLY(X)                                                                      \
    X("test_log", "without_a_sink_lines_go_to_the_platforms_log", "reads a child's output") \
    X("test_log", "a_failed_assertion_stops_with_message_place_and_expression",             \
      "lets a child die; the fault tests see the kernel's panic")                           \
    X("test_log", "a_sink_that_changes_in_the_middle_of_a_line_is_not_mixed_up",            \
      "interrupts a thread with signals")                                                   \
    X("test_worker_dump", "a_signal_dumps_to_the_log", "asks for the dump with a signal")   \
    X("test_worker_idle", "an_idle_engine_does_not_move_for_a_second_and_serves_at_once",   \
      "counts switches in /proc")                                                           \
    X("test_lin_checker", "recorded_histories_catch_a_planted_race",                        \
      "needs CPUs that really run beside each other; a busy host's emulator lets them take turns")

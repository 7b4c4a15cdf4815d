/* SPDX-License-Identifier: Apache-2.0 */

/* Jobs of real QEMUs, from their start to their end. */

#include <string.h>

#include "live.h"

#define QCOW2 "'driver':'qcow2','node-name':'%s','file':{'driver':'file','node-name':'%sf'," \
              "'filename':'%s.q'}"

/* base.q <- mid.q <- top.q, opened as nodes of those names. */
static Live *
start_chain (const LivePrograms *programs)
{
  Live *live = live_storage (programs);

  if (live == NULL)
    return NULL;

  live_img (live, "create -q -f qcow2 base.q 4M");
  live_img (live, "create -q -f qcow2 -b base.q -F qcow2 mid.q");
  live_img (live, "create -q -f qcow2 -b mid.q -F qcow2 top.q");
  live_img (live, "create -q -f qcow2 other.q 4M");
  live_run (live, "blockdev-add", "{" QCOW2 ",'backing':{" QCOW2 ",'backing':{" QCOW2 "}}}",
            "top", "top", "top", "mid", "mid", "mid", "base", "base", "base");
  live_run (live, "blockdev-add", "{" QCOW2 "}", "other", "other", "other");
  return live;
}

static void
assert_reaches (QmpJob      *job,
                QmpJobState  state)
{
  g_autoptr (GError) error = NULL;
  gboolean reached = live_await (job, state, LIVE_DEADLINE, &error);

  g_assert_no_error (error);
  g_assert_true (reached);
}

static void
assert_fails (QmpJob      *job,
              QmpJobState  state,
              const char  *words)
{
  g_autoptr (GError) error = NULL;

  g_assert_false (live_await (job, state, LIVE_DEADLINE, &error));
  g_assert_error (error, QMP_ERROR, QMP_ERROR_JOB);
  g_assert_nonnull (strstr (error->message, words));
}

static void
test_commit (gconstpointer data)
{
  g_autoptr (Live) live = start_chain (data);
  g_autoptr (QmpJob) job = NULL;
  g_autoptr (QmpJob) latecomer = NULL;
  g_autoptr (QmpGraph) graph = NULL;
  g_autoptr (GError) error = NULL;

  if (live == NULL)
    return;

  job = qmp_job_watch (live->client, "c");
  live_run (live, "block-commit", "{'job-id':'c','device':'top','top-node':'mid',"
            "'base-node':'base','auto-dismiss':false,'auto-finalize':false}");
  assert_reaches (job, QMP_JOB_PENDING);
  g_assert_cmpint (qmp_job_get_info (job)->state, ==, QMP_JOB_PENDING);
  g_assert_cmpstr (qmp_job_get_info (job)->type, ==, "commit");

  latecomer = qmp_job_watch (live->client, "c");
  assert_reaches (latecomer, QMP_JOB_PENDING);

  live_run (live, "job-finalize", "{'id':'c'}");
  assert_reaches (job, QMP_JOB_CONCLUDED);
  g_assert_null (qmp_job_get_info (job)->error);

  graph = live_graph (live, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (qmp_graph_find_node (graph, "top")->backing->name, ==, "base");

  live_run (live, "job-dismiss", "{'id':'c'}");
  assert_reaches (job, QMP_JOB_NULL);
  assert_fails (latecomer, QMP_JOB_CONCLUDED, "vanished");
}

static void
test_cancelled_mirror (gconstpointer data)
{
  g_autoptr (Live) live = start_chain (data);
  g_autoptr (QmpJob) job = NULL;

  if (live == NULL)
    return;

  job = qmp_job_watch (live->client, "m");
  live_run (live, "blockdev-mirror", "{'job-id':'m','device':'top','target':'other',"
            "'sync':'top','auto-dismiss':false}");
  assert_reaches (job, QMP_JOB_READY);
  live_run (live, "job-cancel", "{'id':'m'}");
  assert_fails (job, QMP_JOB_CONCLUDED, "mirror job \"m\" failed: Operation canceled");
}

/* A soft cancel at ready ends without error: whoever wants a pivot has to look at the graph. */
static void
test_soft_cancel (gconstpointer data)
{
  g_autoptr (Live) live = start_chain (data);
  g_autoptr (QmpJob) job = NULL;

  if (live == NULL)
    return;

  job = qmp_job_watch (live->client, "m");
  live_run (live, "blockdev-mirror", "{'job-id':'m','device':'top','target':'other',"
            "'sync':'top','auto-dismiss':false}");
  assert_reaches (job, QMP_JOB_READY);
  live_run (live, "block-job-cancel", "{'device':'m','force':false}");
  assert_reaches (job, QMP_JOB_CONCLUDED);
  g_assert_null (qmp_job_get_info (job)->error);
}

/* QEMU's own words for what went wrong, also when another state was waited for. */
static void
test_broken_disk (gconstpointer data)
{
  g_autoptr (Live) live = live_storage (data);
  g_autoptr (QmpJob) job = NULL;

  if (live == NULL)
    return;

  live_img (live, "create -q -f raw data.raw 1M");
  live_img (live, "create -q -f qcow2 other.q 1M");
  live_run (live, "blockdev-add", "{'driver':'raw','node-name':'bad','file':{'driver':'blkdebug',"
            "'image':{'driver':'file','filename':'data.raw'},'inject-error':[{'event':'none',"
            "'iotype':'read','errno':5,'immediately':true}]}}");
  live_run (live, "blockdev-add", "{" QCOW2 "}", "other", "other", "other");
  job = qmp_job_watch (live->client, "b");
  live_run (live, "blockdev-backup", "{'job-id':'b','device':'bad','target':'other',"
            "'sync':'full','auto-dismiss':false,'auto-finalize':false}");
  assert_fails (job, QMP_JOB_PENDING, "backup job \"b\" failed before it was pending: "
                "Input/output error");
  g_assert_cmpint (qmp_job_get_info (job)->state, ==, QMP_JOB_CONCLUDED);
}

/* Without auto-dismiss off, nobody can say how it ended. */
static void
test_auto_dismiss (gconstpointer data)
{
  g_autoptr (Live) live = start_chain (data);
  g_autoptr (QmpJob) job = NULL;

  if (live == NULL)
    return;

  job = qmp_job_watch (live->client, "c");
  live_run (live, "block-commit", "{'job-id':'c','device':'top','top-node':'mid',"
            "'base-node':'base'}");
  assert_fails (job, QMP_JOB_CONCLUDED, "vanished");
  g_assert_cmpint (qmp_job_get_info (job)->state, ==, QMP_JOB_NULL);
}

static void
test_qemu_dies (gconstpointer data)
{
  g_autoptr (Live) live = start_chain (data);
  g_autoptr (QmpJob) job = NULL;
  g_autoptr (GError) error = NULL;

  if (live == NULL)
    return;

  job = qmp_job_watch (live->client, "m");
  live_run (live, "blockdev-mirror", "{'job-id':'m','device':'top','target':'other',"
            "'sync':'top','auto-dismiss':false}");
  assert_reaches (job, QMP_JOB_READY);
  g_assert_false (live_await (job, QMP_JOB_CONCLUDED, 50, &error));
  g_assert_error (error, QMP_ERROR, QMP_ERROR_TIMEOUT);
  g_assert_nonnull (strstr (error->message, "it is ready"));
  g_clear_error (&error);

  g_subprocess_force_exit (live->process);
  g_assert_false (live_await (job, QMP_JOB_CONCLUDED, LIVE_DEADLINE, &error));
  g_assert_error (error, QMP_ERROR, QMP_ERROR_LINK);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  live_add_test ("/job/live/commit", test_commit);
  live_add_test ("/job/live/cancelled-mirror", test_cancelled_mirror);
  live_add_test ("/job/live/soft-cancel", test_soft_cancel);
  live_add_test ("/job/live/broken-disk", test_broken_disk);
  live_add_test ("/job/live/auto-dismiss", test_auto_dismiss);
  live_add_test ("/job/live/qemu-dies", test_qemu_dies);

  return g_test_run ();
}

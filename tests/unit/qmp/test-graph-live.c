/* SPDX-License-Identifier: Apache-2.0 */

/* The block graph of real QEMUs. */

#include <string.h>

#include "live.h"

#define QCOW2 "'driver':'qcow2','node-name':'%s','file':{'driver':'file','node-name':'%sf'," \
              "'filename':'%s.q'}"

static void
test_system (gconstpointer data)
{
  g_autoptr (Live) live = live_folder (data);
  g_autoptr (QmpGraph) graph = NULL;
  g_autoptr (GError) error = NULL;
  QmpDevice *device;

  if (live == NULL)
    return;

  live_img (live, "create -q -f raw base.raw 1M");
  live_img (live, "create -q -f qcow2 -b base.raw -F raw top.q");
  live_img (live, "create -q -f qcow2 other.q 1M");
  live_system (live,
               "-drive if=none,id=d0,file=top.q,format=qcow2 -device virtio-blk-pci,drive=d0 "
               "-object throttle-group,id=tg,x-iops-total=5000 "
               "-blockdev file,node-name=f,filename=other.q -blockdev qcow2,node-name=q,file=f "
               "-blockdev throttle,node-name=t,throttle-group=tg,file=q "
               "-device virtio-scsi-pci,id=s0 -device scsi-hd,bus=s0.0,drive=t,id=disk1 "
               "-drive if=none,id=cd0,media=cdrom -device ide-cd,drive=cd0,id=cd");
  live_run (live, "block-dirty-bitmap-add", "{'node':'q','name':'b','persistent':true}");

  graph = live_graph (live, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (qmp_graph_get_nodes (graph)->len, ==, 7);
  g_assert_cmpuint (qmp_graph_get_devices (graph)->len, ==, 3);

  device = g_ptr_array_index (qmp_graph_get_devices (graph), 0);
  g_assert_cmpstr (device->name, ==, "d0");
  g_assert_true (device->root->auto_named);
  g_assert_cmpstr (device->root->backing->driver, ==, "raw");
  g_assert_cmpint (device->root->virtual_size, ==, 1 << 20);

  device = g_ptr_array_index (qmp_graph_get_devices (graph), 1);
  g_assert_cmpstr (device->qdev, ==, "cd");
  g_assert_null (device->root);
  g_assert_true (device->removable);

  device = g_ptr_array_index (qmp_graph_get_devices (graph), 2);
  g_assert_null (device->name);
  g_assert_cmpstr (device->qdev, ==, "disk1");
  g_assert_cmpstr (device->root->name, ==, "t");
  g_assert_cmpstr (qmp_node_skip_filters (device->root)->name, ==, "q");
  g_assert_cmpstr (((QmpBitmap *) qmp_graph_find_node (graph, "q")->bitmaps->pdata[0])->name, ==,
                   "b");
}

/* Hundreds of nodes in one reply, and a chain among them. */
static void
test_many_nodes (gconstpointer data)
{
  g_autoptr (Live) live = live_storage (data);
  g_autoptr (QmpGraph) graph = NULL;
  g_autoptr (GError) error = NULL;
  guint depth = 0;

  if (live == NULL)
    return;

  live_run (live, "blockdev-add", "{'driver':'null-co','node-name':'n0','size':65536}");
  for (guint i = 1; i <= 200; i++)
    {
      g_autofree char *file = g_strdup_printf ("f%u", i);

      live_run (live, "blockdev-add", "{'driver':'null-co','node-name':'%s','size':65536}", file);
      live_run (live, "blockdev-add", "{'driver':'raw','node-name':'n%u','file':'%s'}", i, file);
    }
  for (guint i = 1; i <= 3; i++)
    {
      g_autofree char *make = g_strdup_printf ("create -q -f qcow2 l%u.q 64k", i);
      g_autofree char *name = g_strdup_printf ("l%u", i);
      g_autofree char *below = i > 1 ? g_strdup_printf ("'l%u'", i - 1) : g_strdup ("null");

      live_img (live, make);
      live_run (live, "blockdev-add", "{" QCOW2 ",'backing':%s}", name, name, name, below);
    }

  graph = live_graph (live, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (qmp_graph_get_nodes (graph)->len, ==, 1 + 400 + 6);
  g_assert_cmpuint (qmp_graph_get_devices (graph)->len, ==, 0);
  for (QmpNode *at = qmp_graph_find_node (graph, "l3"); at != NULL; at = at->backing)
    depth++;
  g_assert_cmpuint (depth, ==, 3);
  g_assert_cmpstr (qmp_graph_find_node (graph, "n200")->file->name, ==, "f200");
}

/* The question that would kill QEMU is not asked, and can be once the job is dismissed. */
static void
test_concluded_stream (gconstpointer data)
{
  g_autoptr (Live) live = live_storage (data);
  g_autoptr (QmpGraph) graph = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (QmpJob) job = NULL;

  if (live == NULL)
    return;

  live_img (live, "create -q -f qcow2 base.q 1M");
  live_img (live, "create -q -f qcow2 -b base.q -F qcow2 top.q");
  live_run (live, "blockdev-add", "{" QCOW2 "}", "top", "top", "top");
  job = qmp_job_watch (live->client, "the-stream");
  live_run (live, "block-stream", "{'job-id':'the-stream','device':'top','auto-dismiss':false}");
  live_await (job, QMP_JOB_CONCLUDED, LIVE_DEADLINE, &error);
  g_assert_no_error (error);

  graph = live_graph (live, &error);
  g_assert_null (graph);
  g_assert_error (error, QMP_ERROR, QMP_ERROR_JOB);
  g_assert_nonnull (strstr (error->message, "\"the-stream\""));
  g_assert_nonnull (strstr (error->message, "job-dismiss"));
  g_clear_error (&error);

  live_run (live, "job-dismiss", "{'id':'the-stream'}");
  graph = live_graph (live, &error);
  g_assert_no_error (error);
  g_assert_null (qmp_graph_find_node (graph, "top")->backing);
}

/* Filters that jobs put into the graph: data lies below them as if they were not there. */
static void
test_job_filters (gconstpointer data)
{
  g_autoptr (Live) live = live_storage (data);
  g_autoptr (QmpGraph) graph = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (QmpJob) mirror = NULL;
  QmpNode *filter;

  if (live == NULL)
    return;

  live_img (live, "create -q -f qcow2 a.q 1M");
  live_img (live, "create -q -f qcow2 b.q 1M");
  live_run (live, "blockdev-add", "{" QCOW2 "}", "a", "a", "a");
  live_run (live, "blockdev-add", "{" QCOW2 "}", "b", "b", "b");
  mirror = qmp_job_watch (live->client, "m");
  live_run (live, "blockdev-mirror", "{'job-id':'m','device':'a','target':'b','sync':'full',"
            "'filter-node-name':'filter','auto-dismiss':false}");
  live_await (mirror, QMP_JOB_READY, LIVE_DEADLINE, &error);
  g_assert_no_error (error);

  graph = live_graph (live, &error);
  g_assert_no_error (error);
  filter = qmp_graph_find_node (graph, "filter");
  g_assert_cmpstr (filter->driver, ==, "mirror_top");
  g_assert_true (filter->is_filter);
  g_assert_cmpstr (filter->file->name, ==, "a");
  g_assert_cmpstr (qmp_node_skip_filters (filter)->name, ==, "a");
  g_assert_true (qmp_graph_find_node (graph, "a")->parents->pdata[0] == filter);
}

static void
test_dead_link (gconstpointer data)
{
  g_autoptr (Live) live = live_storage (data);
  g_autoptr (QmpGraph) graph = NULL;
  g_autoptr (GError) error = NULL;

  if (live == NULL)
    return;

  g_subprocess_force_exit (live->process);
  graph = live_graph (live, &error);
  g_assert_null (graph);
  g_assert_error (error, QMP_ERROR, QMP_ERROR_LINK);
  g_assert_true (g_str_has_prefix (error->message, "Cannot read the block graph: "));
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  live_add_test ("/graph/live/system", test_system);
  live_add_test ("/graph/live/many-nodes", test_many_nodes);
  live_add_test ("/graph/live/concluded-stream", test_concluded_stream);
  live_add_test ("/graph/live/job-filters", test_job_filters);
  live_add_test ("/graph/live/dead-link", test_dead_link);

  return g_test_run ();
}

/* SPDX-License-Identifier: Apache-2.0 */

/* Knows what must not have changed between the plan and the point: somebody else may have resized a
 * disk, or begun to move the guest away, while files were made and jobs were waited for. */

#include "backup-steps.h"

#include <core/error.h>

#include "inspect.h"

static gboolean
check_disk (const DiskPlan *plan, GPtrArray *disks, GError **error)
{
  for (guint i = 0; i < disks->len; i++)
    {
      Disk *disk = g_ptr_array_index (disks, i);
      Layer *active = disk_get_active (disk);

      if (active == NULL || !active->known || g_strcmp0 (active->node, plan->active_node) != 0)
        continue;
      if (file_facts_are (&active->facts, plan->layer_dev, plan->layer_ino)
          && active->virtual_size == plan->virtual_size)
        return TRUE;
    }
  agent_set_error (error, AGENT_ERROR_CONFLICT, "try again",
                   "disk %s is not any more what it was when the point was planned: it has another "
                   "active layer or another size", plan->disk);
  return FALSE;
}

static void
on_inspected (GObject *source, GAsyncResult *result, gpointer user_data)
{
  GTask *step = user_data;
  Backup *job = g_task_get_task_data (step);
  g_autoptr (Inspection) inspection = NULL;
  GError *error = NULL;

  inspection = inspect_finish (result, &error);
  if (inspection != NULL && inspection->migrating)
    error = agent_error_new (AGENT_ERROR_CONFLICT, "wait until the migration has ended",
                             "the guest is being migrated");
  for (guint i = 0; inspection != NULL && error == NULL && i < job->disks->len; i++)
    if (!check_disk (g_ptr_array_index (job->disks, i), inspection->disks, &error))
      break;
  if (error == NULL)
    backup_step_done (step);
  else
    backup_step_failed (step, error);
}

void
backup_look_again (GTask *step, gpointer user_data)
{
  Backup *job = user_data;
  GError *error = NULL;

  if (backup_client (job, &error) == NULL)
    {
      backup_step_failed (step, error);
      return;
    }
  g_task_set_task_data (step, job, NULL);
  inspect_async (job->guest, g_task_get_cancellable (step), on_inspected, step);
}

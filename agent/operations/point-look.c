/* SPDX-License-Identifier: Apache-2.0 */

/* Knows what must not have changed between the plan and the point: somebody else may have resized a
 * disk, or begun to move the guest away, while files were made and jobs were waited for. */

#include "backup-steps.h"

#include "inspect.h"

static gboolean
check_disk (const Inspection *inspection, const DiskPlan *plan, GError **error)
{
  const ExpectedDisk expected = {
    .disk = plan->disk,
    .active_node = plan->active_node,
    .dev = plan->layer_dev,
    .ino = plan->layer_ino,
    .virtual_size = plan->virtual_size,
  };

  return inspection_check (inspection, &expected, error);
}

static void
on_inspected (GObject *source, GAsyncResult *result, gpointer user_data)
{
  GTask *step = user_data;
  Backup *job = g_task_get_task_data (step);
  g_autoptr (Inspection) inspection = NULL;
  GError *error = NULL;

  inspection = inspect_finish (result, &error);
  for (guint i = 0; inspection != NULL && error == NULL && i < job->disks->len; i++)
    if (!check_disk (inspection, g_ptr_array_index (job->disks, i), &error))
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

/* SPDX-License-Identifier: Apache-2.0 */

/* The process ends at each moment: before each journal write, and in each step before and after its
 * effect. The next process, and the one after that, know the journal and the world alone. */

#include "toy.h"

#include "support.h"

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <core/error.h>

typedef struct
{
  World          world;
  OperationState state;
} Shared;

typedef struct
{
  const char *name;
  Fault       fault;
  Fault       cancel;
  gboolean    twice;            /* the recovery crashes as well, at each of its moments */
} Scene;

static const Scene scenes[] = {
  { "success",          { NULL, 0, 0 },                     { NULL, 0, 0 }, FALSE },
  { "stop-fails",       { "stop", MOMENT_AFTER, 1 },        { NULL, 0, 0 }, FALSE },
  { "take-point-fails", { "take-point", MOMENT_BEFORE, 1 }, { NULL, 0, 0 }, FALSE },
  { "upload-fails",     { "upload", MOMENT_BEFORE, 1 },     { NULL, 0, 0 }, TRUE },
  { "cancel-in-upload", { NULL, 0, 0 }, { "upload", MOMENT_BEFORE, 1 }, FALSE },
};

/* Of an operation that succeeded, no step is left in doubt. */
static void
check_steps (Operation *operation)
{
  for (guint i = 0; i < operation->steps->len; i++)
    {
      StepRecord *record = operation_get_record (operation, i);

      if (operation->state == OPERATION_SUCCEEDED && record->begun_us != 0)
        g_assert_cmpint (record->state, ==, STEP_DONE);
    }
}

typedef struct
{
  const Scene *scene;
  Shared      *shared;
  const char  *path;
  gboolean     is_first;
  guint        crash_at;
} Life;

static void
work (const Life *life)
{
  Shared *shared = life->shared;
  Toy toy = { .worlds = &shared->world, .crash_at = life->crash_at };
  g_autoptr (GPtrArray) all = NULL;

  shared->world.busy = FALSE;

  if (life->is_first)
    {
      toy.faults[0] = life->scene->fault;
      toy.cancel = life->scene->cancel;
    }

  toy_start (&toy, life->path);

  if (life->is_first)
    toy_submit (&toy, 0, NULL);
  else
    engine_recover (toy.engine, NULL);

  toy_run (&toy);
  all = engine_list (toy.engine, NULL);
  shared->state = OPERATION_QUEUED;

  if (all->len > 0)
    {
      shared->state = operation_get_state (g_ptr_array_index (all, 0));
      check_steps (g_ptr_array_index (all, 0));
    }
}

static void
work_again (const Life *life)
{
  Toy toy = { .worlds = &life->shared->world };

  toy_start (&toy, life->path);
  toy_check_again (&toy, 0);
  toy_stop (&toy);
}

/* In a process of its own; TRUE when that ended by itself. This one has no threads, whose locks the
 * child would find taken: GTask has one as soon as it is used. */
static gboolean
live (const Life *life, void (*func) (const Life *))
{
  pid_t child = fork ();
  int status;

  g_assert_cmpint (child, >=, 0);

  if (child == 0)
    {
      /* A fork would draw the same ids. */
      g_random_set_seed ((guint32) getpid ());
      func (life);
      _exit (0);
    }

  g_assert_cmpint (waitpid (child, &status, 0), ==, child);
  g_assert_true (WIFEXITED (status));
  g_assert_true (WEXITSTATUS (status) == 0 || WEXITSTATUS (status) == TOY_CRASHED);

  return WEXITSTATUS (status) == 0;
}

static void
check_end (const Scene *scene,
           Shared      *shared,
           gboolean     undisturbed)
{
  switch (shared->state)
    {
    case OPERATION_QUEUED:
      /* It ended before the operation was in the journal. */
      toy_check_world (&shared->world, OPERATION_FAILED);
      g_assert_false (shared->world.overlays);
      g_assert_false (undisturbed);
      break;

    case OPERATION_SUCCEEDED:
    case OPERATION_FAILED:
    case OPERATION_CANCELLED:
      toy_check_world (&shared->world, shared->state);
      break;

    case OPERATION_RUNNING:
    default:
      g_error ("%s: the operation is not finished", scene->name);
    }

  if (undisturbed)
    g_assert_cmpint (shared->state, ==, scene->fault.step != NULL ? OPERATION_FAILED
                                        : scene->cancel.step != NULL ? OPERATION_CANCELLED
                                        : OPERATION_SUCCEEDED);
}

/* Crashes at @first, and in the life behind it at @second; 0 for not at all. Returns which of them
 * were reached: 0, 1 or 2. */
static guint
run_crashes (const Scene *scene,
             Shared      *shared,
             guint        first,
             guint        second)
{
  g_autofree char *folder = folder_new ();
  g_autofree char *path = g_build_filename (folder, "journal", NULL);
  Life life = { scene, shared, path, TRUE, first };
  guint n_reached = 0;

  *shared = (Shared) { .state = OPERATION_QUEUED };

  if (!live (&life, work))
    {
      n_reached++;
      life.is_first = FALSE;
      life.crash_at = second;

      if (second != 0 && !live (&life, work))
        n_reached++;

      life.crash_at = 0;
      if (second == 0 || n_reached == 2)
        g_assert_true (live (&life, work));
    }

  check_end (scene, shared, n_reached == 0);

  if (second == 0)
    g_assert_true (live (&life, work_again));

  folder_remove (folder);

  return n_reached;
}

static Shared *
shared_new (void)
{
  Shared *shared = mmap (NULL, sizeof *shared, PROT_READ | PROT_WRITE,
                         MAP_SHARED | MAP_ANONYMOUS, -1, 0);

  g_assert_true (shared != MAP_FAILED);

  return shared;
}

static void
test_one_crash (gconstpointer data)
{
  Shared *shared = shared_new ();
  guint n = 1;

  while (run_crashes (data, shared, n, 0) > 0)
    n++;

  /* Every write and every step was among them. */
  g_assert_cmpuint (n, >, 12);
  munmap (shared, sizeof *shared);
}

static void
test_two_crashes (gconstpointer data)
{
  Shared *shared = shared_new ();
  gboolean first_reached = TRUE;
  guint n_pairs = 0;

  for (guint first = 1; first_reached; first++)
    {
      guint n_reached;
      guint second = 1;

      while ((n_reached = run_crashes (data, shared, first, second)) == 2)
        {
          second++;
          n_pairs++;
        }

      first_reached = n_reached > 0;
    }

  g_assert_cmpuint (n_pairs, >, 100);
  munmap (shared, sizeof *shared);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  for (gsize i = 0; i < G_N_ELEMENTS (scenes); i++)
    {
      g_autofree char *one = g_strconcat ("/engine/crashes/one/", scenes[i].name, NULL);
      g_autofree char *two = g_strconcat ("/engine/crashes/two/", scenes[i].name, NULL);

      g_test_add_data_func (one, &scenes[i], test_one_crash);

      /* Up to its failure, the scene is that of the success. */
      if (scenes[i].twice)
        g_test_add_data_func (two, &scenes[i], test_two_crashes);
    }

  return g_test_run ();
}
